// Named loggers, one sink for the process. Lines go to stderr (or where `configureLog` says), as text for
// people or JSON for machines. Secrets never come here: log names, ids and counts, not values that grant access.

export type Severity = 'trace' | 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>

export interface Logger {
  trace(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

export interface LogOptions {
  severity?: Severity
  format?: 'text' | 'json'
  /** Receives each finished line, newline included. @default standard error */
  write?: (line: string) => void
  /** @default Date.now */
  clock?: () => number
}

const ranks: Record<Severity, number> = { trace: 0, debug: 1, info: 2, warn: 3, error: 4 }
const labels: Record<Severity, string> = {
  trace: 'TRACE',
  debug: 'DEBUG',
  info: 'INFO ',
  warn: 'WARN ',
  error: 'ERROR',
}

const settings: Required<LogOptions> = {
  severity: 'info',
  format: 'text',
  write: (line) => void process.stderr.write(line),
  clock: Date.now,
}

/** Changes what every logger of the process does from now on. */
export function configureLog(options: LogOptions): void {
  Object.assign(settings, options)
}

/** The severity in force, e.g. for `debug get-log-level`. */
export function logSeverity(): Severity {
  return settings.severity
}

/** A logger whose lines carry this component name, e.g. `proxy` or `kube`. */
export function createLogger(component: string): Logger {
  const at = (severity: Severity) => (message: string, fields?: LogFields) => {
    if (ranks[severity] < ranks[settings.severity]) return
    settings.write(
      settings.format === 'json'
        ? jsonLine(severity, component, message, fields)
        : textLine(severity, component, message, fields),
    )
  }
  return { trace: at('trace'), debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

function textLine(severity: Severity, component: string, message: string, fields?: LogFields): string {
  let line = `${new Date(settings.clock()).toISOString()} ${labels[severity]} [${component}] ${oneLine(message)}`
  for (const [key, value] of Object.entries(fields ?? {})) {
    if (value !== undefined) line += ` ${key}=${typeof value === 'string' ? quoted(value) : value}`
  }
  return `${line}\n`
}

function jsonLine(severity: Severity, component: string, message: string, fields?: LogFields): string {
  const timestamp = new Date(settings.clock()).toISOString()
  return `${JSON.stringify({ timestamp, level: severity, component, message, ...fields })}\n`
}

// Messages may quote what a client sent: a newline or an escape sequence in it must not forge a line of ours.
function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => JSON.stringify(character).slice(1, -1))
}

function quoted(text: string): string {
  return /^[\w./:@%+,*-]+$/.test(text) ? text : JSON.stringify(text)
}
