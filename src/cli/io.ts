// The world as a command sees it; tests give it another one.

import type { Readable } from 'node:stream'

export interface Io {
  out(text: string): void
  note(text: string): void
  readonly env: Readonly<Record<string, string | undefined>>
  /** Whether a person sits at standard input. */
  readonly interactive: boolean
  /** Standard input to its end. */
  readAll(): Promise<string>
  /** Asks for a line; with `secret`, what is typed is not shown. Without a terminal, takes the next line of input. */
  ask(question: string, options?: { secret?: boolean }): Promise<string>
}

/** The io of this process. */
export function processIo(): Io {
  const lines = new LineReader(process.stdin)
  return {
    out: (text) => void process.stdout.write(text),
    note: (text) => void process.stderr.write(text),
    env: process.env,
    interactive: process.stdin.isTTY === true,
    readAll: () => Bun.stdin.text(),
    ask: async (question, { secret = false } = {}) => {
      process.stderr.write(question)
      if (process.stdin.isTTY !== true) return lines.next()
      return secret ? askSecret() : lines.next()
    },
  }
}

class LineReader {
  readonly #stream: Readable
  #text = ''
  #ended = false
  #wake: (() => void) | undefined
  #started = false

  constructor(stream: Readable) {
    this.#stream = stream
  }

  async next(): Promise<string> {
    this.#start()
    for (;;) {
      const end = this.#text.indexOf('\n')
      if (end >= 0 || this.#ended) {
        const line = end >= 0 ? this.#text.slice(0, end) : this.#text
        this.#text = end >= 0 ? this.#text.slice(end + 1) : ''
        // Nothing more is read until somebody asks, so that the process can end.
        this.#stream.pause()
        return line.replace(/\r$/, '')
      }
      this.#stream.resume()
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  #start(): void {
    if (this.#started) return
    this.#started = true
    this.#stream.setEncoding('utf8')
    this.#stream.on('data', (chunk: string) => {
      this.#text += chunk
      this.#wake?.()
    })
    this.#stream.on('end', () => {
      this.#ended = true
      this.#wake?.()
    })
  }
}

function askSecret(): Promise<string> {
  const { stdin } = process
  stdin.setRawMode(true)
  stdin.setEncoding('utf8')
  stdin.resume()
  return new Promise((resolve, reject) => {
    let text = ''
    const finish = (action: () => void) => {
      stdin.off('data', onData)
      stdin.setRawMode(false)
      stdin.pause()
      process.stderr.write('\n')
      action()
    }
    const onData = (chunk: string) => {
      for (const character of chunk) {
        if (character === '\r' || character === '\n') return finish(() => resolve(text))
        if (character === '\u0003') return finish(() => reject(new Error('interrupted')))
        if (character === '\u007f' || character === '\b') text = [...text].slice(0, -1).join('')
        else if (character >= ' ') text += character
      }
    }
    stdin.on('data', onData)
  })
}
