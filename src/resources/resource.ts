// The envelope every resource shares, in the shape it has in files and on the wire (snake_case keys).
// Each kind has a file of its own with its exact spec type and its parser; `kinds.ts` is the table of them.

export interface Metadata {
  readonly name: string
  readonly namespace?: string
  readonly description?: string
  readonly labels?: Readonly<Record<string, string>>
  /** RFC 3339. */
  readonly expires?: string
  /** Opaque; changes with every write. An update that carries an old one is refused. */
  readonly revision?: string
}

export interface Resource<Kind extends string = string, Spec = unknown, Status = unknown> {
  readonly kind: Kind
  readonly sub_kind?: string
  readonly version: string
  readonly metadata: Metadata
  readonly spec: Spec
  readonly status?: Status
}
