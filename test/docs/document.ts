// Guides that cannot rot: the parts of a Markdown guide that a test can do, in order, and the comparison of what a
// command printed with what the guide shows.
//
//   ```console            `$ ` begins a command, the lines below it are what it prints: `...` stands for any lines,
//                         `<something>` for any text within a line; no lines at all promise nothing
//   ```console background the one command goes on while the guide does
//   ```yaml name.yaml     the content of that file
//   <!-- invite: NAME --> the reader opens the latest invite link and sets a password and a one-time code
//   <!-- stdin: password code -->   what the reader types into the next command

export type Step =
  | {
      readonly type: 'command'
      readonly line: number
      readonly command: string
      readonly shown: readonly string[]
    }
  | { readonly type: 'background'; readonly line: number; readonly command: string }
  | { readonly type: 'file'; readonly line: number; readonly name: string; readonly content: string }
  | { readonly type: 'invite'; readonly line: number; readonly user: string }
  | { readonly type: 'stdin'; readonly line: number; readonly words: readonly string[] }

export function parseGuide(markdown: string): Step[] {
  const steps: Step[] = []
  const lines = markdown.split('\n')
  for (let index = 0; index < lines.length; index++) {
    const text = lines[index] ?? ''
    const line = index + 1
    const comment = /^<!-- (invite|stdin): (.*) -->$/.exec(text)
    if (comment?.[1] === 'invite') steps.push({ type: 'invite', line, user: comment[2] ?? '' })
    if (comment?.[1] === 'stdin') steps.push({ type: 'stdin', line, words: (comment[2] ?? '').split(' ') })
    const fence = /^```(\w+) ?(.*)$/.exec(text)
    if (fence === null) continue
    const end = lines.indexOf('```', index + 1)
    if (end < 0) throw new Error(`line ${line}: this block has no end`)
    steps.push(
      ...stepsOf({ language: fence[1] ?? '', info: fence[2] ?? '', body: lines.slice(index + 1, end), line }),
    )
    index = end
  }
  return steps
}

interface Block {
  readonly language: string
  readonly info: string
  readonly body: readonly string[]
  readonly line: number
}

function stepsOf({ language, info, body, line }: Block): Step[] {
  if (language === 'yaml' && info !== '')
    return [{ type: 'file', line, name: info, content: `${body.join('\n')}\n` }]
  if (language !== 'console') return []
  const commands: { line: number; command: string; shown: string[] }[] = []
  for (const [index, text] of body.entries()) {
    const current = commands.at(-1)
    if (text.startsWith('$ ')) commands.push({ line: line + 1 + index, command: text.slice(2), shown: [] })
    else if (current === undefined) throw new Error(`line ${line + 1 + index}: output without a command`)
    else if (current.shown.length === 0 && current.command.endsWith('\\')) current.command += `\n${text}`
    else current.shown.push(text)
  }
  if (info !== 'background') return commands.map((command) => ({ type: 'command', ...command }))
  return commands.map(({ line, command }) => ({ type: 'background', line, command }))
}

/** What differs between shown and printed output, for people; undefined when it matches. */
export function difference(shown: readonly string[], printed: string): string | undefined {
  if (shown.length === 0) return undefined
  const pattern = shown
    .map((line) => (line === '...' ? '(?:.*\\n)*?' : `${linePattern(line)}\\s*\\n`))
    .join('')
  const normal = `${printed.replace(/\s+$/, '')}\n`
  if (new RegExp(`^${pattern}$`).test(normal)) return undefined
  return `the guide shows\n${shown.join('\n')}\nbut it printed\n${normal}`
}

function linePattern(line: string): string {
  return line
    .trimEnd()
    .split(/(<[a-z][a-z -]*>)/)
    .map((part, index) =>
      index % 2 === 1 ? '.+?' : part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&').replace(/ +/g, ' +'),
    )
    .join('')
}
