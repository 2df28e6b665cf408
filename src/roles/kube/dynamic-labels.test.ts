import { describe, expect, it } from 'bun:test'
import { DynamicLabels } from './dynamic-labels.ts'

const command = (name: string, ...words: string[]) => ({ name, command: words, periodMs: 60_000 })

describe('DynamicLabels', () => {
  it('takes the trimmed output of each command as the value', async () => {
    using labels = await DynamicLabels.start([
      command('os', 'echo', ' linux '),
      command('two', 'printf', 'a\nb'),
    ])
    expect(labels.values()).toEqual({ os: 'linux', two: 'a\nb' })
  })

  it('shows the error of a command that fails', async () => {
    using labels = await DynamicLabels.start([
      command('bad', 'sh', '-c', 'echo broken >&2; exit 3'),
      command('mute', 'sh', '-c', 'exit 4'),
    ])
    expect(labels.values()).toEqual({ bad: 'broken', mute: 'sh ended with exit code 4' })
  })

  it('shows that a program does not exist', async () => {
    using labels = await DynamicLabels.start([command('none', '/does/not/exist')])
    expect(labels.values().none).toContain('/does/not/exist')
  })

  it('cuts long output and does not block the child', async () => {
    using labels = await DynamicLabels.start([command('long', 'sh', '-c', 'yes | head -c 1000000')])
    expect(labels.values().long?.length).toBe(1024)
  })

  it('gives children no BUN_ variables', async () => {
    process.env.BUN_OPTIONS_PROBE = 'leak'
    using labels = await DynamicLabels.start([command('env', 'sh', '-c', 'env | grep -c ^BUN_ || true')])
    delete process.env.BUN_OPTIONS_PROBE
    expect(labels.values().env).toBe('0')
  })

  it('runs no shell', async () => {
    using labels = await DynamicLabels.start([command('literal', 'echo', '$(id); `id`')])
    expect(labels.values().literal).toBe('$(id); `id`')
  })
})
