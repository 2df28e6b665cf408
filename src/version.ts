// The product's version, in one place: it is in file names, answers of the web API and `version` commands.

import manifest from '../package.json' with { type: 'json' }

export const version: string = manifest.version

/** The oldest client this server promises to work with: one major version behind. */
export const minimumClientVersion = `${Math.max(0, Number.parseInt(version, 10) - 1)}.0.0`
