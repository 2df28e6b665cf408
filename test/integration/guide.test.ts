import { expect, test } from 'bun:test'
import { difference, parseGuide } from '../docs/document.ts'

test('a guide is commands, files and what a person does, in order', () => {
  const guide = [
    'Text with `code`.',
    '```yaml a.yaml',
    'version: v3',
    '```',
    '```console background',
    '$ teleport start',
    '```',
    '<!-- invite: alice -->',
    '<!-- stdin: password code -->',
    '```console',
    '$ tsh login \\',
    '    --user=alice',
    'Logged in',
    '',
    '$ tsh status',
    '```',
    '```yaml',
    'not: a file',
    '```',
  ].join('\n')
  expect(parseGuide(guide)).toEqual([
    { type: 'file', line: 2, name: 'a.yaml', content: 'version: v3\n' },
    { type: 'background', line: 6, command: 'teleport start' },
    { type: 'invite', line: 8, user: 'alice' },
    { type: 'stdin', line: 9, words: ['password', 'code'] },
    { type: 'command', line: 11, command: 'tsh login \\\n    --user=alice', shown: ['Logged in', ''] },
    { type: 'command', line: 15, command: 'tsh status', shown: [] },
  ])
})

test('a block without an end, or output before a command, is an error of the guide', () => {
  expect(() => parseGuide('```console\n$ a')).toThrow('line 1: this block has no end')
  expect(() => parseGuide('a\n```console\nout\n```')).toThrow('line 3: output without a command')
})

test('shown output matches exactly but for its gaps', () => {
  const shown = ['NAME   READY', 'shell  <ready>', '...', 'end.']
  expect(difference(shown, 'NAME READY\nshell  1/1 yes\nmore\nmore\nend.\n')).toBeUndefined()
  expect(difference(shown, 'NAME READY\nshell  1/1\nend.\n')).toBeUndefined()
  expect(difference(shown, 'NAME READY\nshell  1/1\nend!\n')).toContain('but it printed')
  expect(difference(shown, 'NAME READY\nother  1/1\nend.\n')).toContain('the guide shows')
  expect(difference(['a+b (c)'], 'a+b (c)')).toBeUndefined()
  expect(difference(['a+b (c)'], 'aab (c)')).toContain('but it printed')
  expect(difference([], 'anything')).toBeUndefined()
})
