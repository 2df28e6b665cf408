// Does what a guide says, as a reader in an empty home would, with the compiled executable first in the path.

import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { acceptInvite, type InvitedUser } from '../../scripts/first-user.ts'
import { difference, parseGuide, type Step } from './document.ts'

export interface GuideOptions {
  /** Home and working folder, with what the guide takes for given. */
  readonly home: string
  /** Folders that come first in the path. */
  readonly path: readonly string[]
  /** Text of the guide and what stands for it on this machine, e.g. ports that are taken here. */
  readonly replace: Readonly<Record<string, string>>
  /** `host:port` of the proxy that the guide starts. */
  readonly proxy: string
}

const password = 'correct horse battery'

/** Throws at the first command that fails or prints something else than the guide shows. */
export async function runGuide(markdown: string, options: GuideOptions): Promise<void> {
  let text = markdown
  for (const [from, to] of Object.entries(options.replace)) text = text.replaceAll(from, to)
  await using reader = new Reader(options)
  for (const step of parseGuide(text)) await reader.do(step)
}

class Reader implements AsyncDisposable {
  readonly #options: GuideOptions
  readonly #background: Bun.Subprocess[] = []
  #printed = ''
  #person: InvitedUser | undefined
  #stdin = ''

  constructor(options: GuideOptions) {
    this.#options = options
  }

  async do(step: Step): Promise<void> {
    if (step.type === 'file') await this.#write(step.name, step.content)
    else if (step.type === 'background') this.#start(step.command)
    else if (step.type === 'stdin') this.#stdin = await this.#typed(step.words)
    else if (step.type === 'invite') await this.#acceptInvite(step.line)
    else await this.#run(step)
  }

  async #write(name: string, content: string): Promise<void> {
    const path = join(this.#options.home, name)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, content)
  }

  #start(command: string): void {
    const log = Bun.file(join(this.#options.home, `background-${this.#background.length}.log`))
    const child = Bun.spawn(['bash', '-c', `exec ${command}`], {
      cwd: this.#options.home,
      env: this.#environment(),
      stdin: 'ignore',
      stdout: log,
      stderr: log,
    })
    this.#background.push(child)
  }

  async #acceptInvite(line: number): Promise<void> {
    const token = [...this.#printed.matchAll(/\/web\/invite\/([0-9a-f]+)/g)].at(-1)?.[1]
    if (token === undefined) throw new Error(`line ${line}: no invite link was printed yet`)
    this.#person = await acceptInvite({ proxy: this.#options.proxy, token, password })
  }

  async #typed(words: readonly string[]): Promise<string> {
    const lines: string[] = []
    for (const word of words)
      lines.push(word === 'password' ? password : ((await this.#person?.code()) ?? ''))
    return `${lines.join('\n')}\n`
  }

  async #run(step: Step & { type: 'command' }): Promise<void> {
    // What one command exports, the next one sees, as in a reader's terminal.
    const exports = join(this.#options.home, '.exports')
    const script = `[ ! -e ${exports} ] || . ${exports}\n${step.command}\ncode=$?\nexport -p > ${exports}\nexit $code\n`
    const child = Bun.spawn(['bash', '-c', `exec 2>&1\n${script}`], {
      cwd: this.#options.home,
      env: this.#environment(),
      stdin: Buffer.from(this.#stdin),
      stdout: 'pipe',
      stderr: 'inherit',
      timeout: 90_000,
    })
    this.#stdin = ''
    const printed = await child.stdout.text()
    const code = await child.exited
    this.#printed += printed
    const place = `line ${step.line}: ${step.command}`
    if (code !== 0) throw new Error(`${place}\nended with ${code}:\n${printed}${await this.#logs()}`)
    const problem = difference(step.shown, printed)
    if (problem !== undefined) throw new Error(`${place}\n${problem}`)
  }

  async #logs(): Promise<string> {
    const logs = this.#background.map((_, index) =>
      Bun.file(join(this.#options.home, `background-${index}.log`)),
    )
    const texts = await Promise.all(logs.map((log) => log.text()))
    return texts.map((text) => `\nin the background:\n${text.split('\n').slice(-20).join('\n')}`).join('')
  }

  #environment(): Record<string, string> {
    const path = [...this.#options.path, process.env['PATH'] ?? ''].join(':')
    return { HOME: this.#options.home, PATH: path }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#background.reverse()) {
      child.kill('SIGTERM')
      await child.exited
    }
  }
}
