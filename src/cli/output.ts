// How commands print: tables whose columns line up, and the formats of machines. No colour: output may go anywhere.

import { stringifyYaml } from '../config/yaml.ts'

/** A header, a row of dashes, then rows; columns one space apart. Nothing printed is wider than its content. */
export function columns(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  const dashes = widths.map((width) => '-'.repeat(width))
  return [header, dashes, ...rows].map((row) => line(row, widths)).join('')
}

/** Rows without a header, columns two spaces apart. */
export function headless(rows: readonly (readonly string[])[]): string {
  const count = Math.max(0, ...rows.map((row) => row.length))
  const widths = Array.from({ length: count }, (_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? '').length)),
  )
  return rows
    .map(
      (row) =>
        `${row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join('  ')}\n`,
    )
    .join('')
}

function line(row: readonly string[], widths: readonly number[]): string {
  return `${widths.map((width, column) => printable(row[column] ?? '').padEnd(width)).join(' ')}\n`
}

/** Control characters in names must not move the cursor of whoever reads the table. */
function printable(text: string): string {
  return text.replace(/[\0-\x1f\x7f-\x9f]/g, '?')
}

export function json(value: unknown, indent = 2): string {
  return `${JSON.stringify(value, null, indent)}\n`
}

export function yaml(value: unknown): string {
  return stringifyYaml(value)
}

/** Several documents, parted by `---`. */
export function yamlDocuments(values: readonly unknown[]): string {
  return values.map(stringifyYaml).join('---\n')
}
