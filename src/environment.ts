// What the programs that we start may know of our environment: all but the runtime's own variables. `BUN_OPTIONS` and
// its like change what another Bun program does, and `Bun.spawn` without `env` passes the environment we were started
// with, whatever has been removed from `process.env` since.

export function childEnvironment(): Record<string, string> {
  const environment: Record<string, string> = {}
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !name.startsWith('BUN_')) environment[name] = value
  }
  return environment
}
