import { expect, test } from 'bun:test'
import { createMemory } from './memory.ts'

test('what was remembered first is forgotten when there is too much', () => {
  const memory = createMemory<string>(10)
  const kept = () => ['a', 'b', 'c', 'd'].filter((key) => memory.get(key) !== undefined)
  expect(memory.set('a', { value: 'A', bytes: 4 })).toBe('A')
  memory.set('b', { value: 'B', bytes: 4 })
  memory.set('c', { value: 'C', bytes: 2 })
  expect(kept()).toEqual(['a', 'b', 'c'])
  memory.set('d', { value: 'D', bytes: 1 })
  expect(kept()).toEqual(['b', 'c', 'd'])
})

test('what is remembered again counts once and as new', () => {
  const memory = createMemory<string>(10)
  for (let round = 0; round < 5; round++) memory.set('a', { value: `A${round}`, bytes: 6 })
  memory.set('b', { value: 'B', bytes: 4 })
  expect([memory.get('a'), memory.get('b')]).toEqual(['A4', 'B'])
  memory.set('a', { value: 'A', bytes: 6 })
  memory.set('c', { value: 'C', bytes: 4 })
  expect([memory.get('a'), memory.get('b'), memory.get('c')]).toEqual(['A', undefined, 'C'])
})

test('what is larger than everything is not kept, and spoils nothing after it', () => {
  const memory = createMemory<string>(10)
  expect(memory.set('a', { value: 'A', bytes: 11 })).toBe('A')
  expect(memory.get('a')).toBeUndefined()
  memory.set('b', { value: 'B', bytes: 10 })
  expect(memory.get('b')).toBe('B')
})
