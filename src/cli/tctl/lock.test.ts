import { expect, it } from 'bun:test'
import type { Resource } from '../../resources/resource.ts'
import { lock } from './lock.ts'
import { fakeContext, refusal } from './testing/context.ts'

async function locked(input: Parameters<typeof lock>[0]): Promise<{ made: Resource[]; stdout: string }> {
  const made: Resource[] = []
  const context = fakeContext({
    createResource: async (resource) => {
      made.push(resource)
      return { resource, outcome: 'created' }
    },
  })
  expect(await lock(input, context)).toBe(0)
  return { made, stdout: context.stdout() }
}

it('makes a lock and says what it is called', async () => {
  const { made, stdout } = await locked({
    target: { user: 'alice' },
    message: 'left the company',
    ttl: '10h',
  })
  const name = made[0]?.metadata.name ?? ''
  expect(stdout).toBe(`Created a lock with name "${name}".\n`)
  expect(name).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  expect(made).toEqual([
    {
      kind: 'lock',
      version: 'v2',
      metadata: { name },
      spec: { target: { user: 'alice' }, message: 'left the company', expires: '2026-03-01T22:00:00.000Z' },
    },
  ])
})

it('lasts until a time, or for ever', async () => {
  const until = '2026-04-01T00:00:00Z'
  expect((await locked({ target: { role: 'x' }, expires: until })).made[0]?.spec).toEqual({
    target: { role: 'x' },
    expires: '2026-04-01T00:00:00.000Z',
  })
  expect((await locked({ target: { role: 'x' } })).made[0]?.spec).toEqual({ target: { role: 'x' } })
})

it('wants one end and one target', async () => {
  const both = { target: { user: 'a' }, expires: '2026-04-01T00:00:00Z', ttl: '1h' }
  expect(await refusal(locked(both))).toBe('use only one of --expires and --ttl')
  expect(await refusal(locked({ target: {} }))).toBe('at least one target field must be set')
  expect(await refusal(locked({ target: { user: 'a' }, expires: 'tomorrow' }))).toBe(
    'spec.expires must be a time such as 2026-01-31T12:00:00Z',
  )
})
