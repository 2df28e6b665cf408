import { expect, test } from 'bun:test'
import { add, countsOf, notRun, nothing, summary } from './test-tiers.ts'

const report = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="8" assertions="4" failures="2" skipped="3" time="0.03">
  <testsuite name="a.test.ts" tests="4" failures="1" skipped="2"></testsuite>
</testsuites>`

test('the totals of a report are passed, failed and skipped', () => {
  expect(countsOf(report, 1)).toEqual({ passed: 3, failed: 2, skipped: 3 })
})

test('a run that failed without a failure in its report counts one', () => {
  const clean = '<testsuites tests="5" failures="0" skipped="0"></testsuites>'
  expect(countsOf(clean, 0)).toEqual({ passed: 5, failed: 0, skipped: 0 })
  expect(countsOf(clean, 1)).toEqual({ passed: 5, failed: 1, skipped: 0 })
  expect(countsOf('', 1)).toEqual({ passed: 0, failed: 1, skipped: 0 })
})

test('a tier that cannot run is a failure under CI alone', () => {
  expect(notRun('cluster tests', 'no etcd', false)).toEqual(nothing)
  expect(notRun('cluster tests', 'no etcd', true)).toEqual({ passed: 0, failed: 1, skipped: 0 })
})

test('the last line adds all tiers', () => {
  const counts = add({ passed: 3, failed: 0, skipped: 1 }, nothing, { passed: 4, failed: 2, skipped: 0 })
  expect(summary(counts)).toBe('7 passed, 2 failed, 1 skipped')
})
