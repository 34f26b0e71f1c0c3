// What the functions of limits refuse: every argument, and every place of a policy by its name.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SqliteStore, StoreError } from '../../lib/index.ts';
import { checkPolicy, evaluate, evaluateAll, type LimitPolicy } from '../../lib/modules/limits/limits.ts';
import { TestFolder } from '../support/folder.ts';
import { badDurations, badInstants, badOptions, badTextLists, badTexts, given, throwing } from '../support/values.ts';

type Table = [name: string, value: unknown][];

const times = ['9:00', '09:60', '25:00', '09:00:00', ' 09:00', '09:00 ', '09:00\n', '-1:00', '', '0900', '٠٩:00'];
const badTimes: Table = [['undefined', undefined], ['a number', 9], ...times.map((text) => [text, text] as never)];
const badWeekdays: Table = [['0', 0], ['8', 8], ['a fraction', 1.5], ['a string', '1'], ['undefined', undefined]];

/** A policy whose entry `x` has such a field, or whose entry's third window does. */
const entry = (fields: object): unknown => ({ entries: { x: fields }, groups: { g: {} } });
const window = (fields: object): unknown => {
  const sound = { from: '08:00', to: '09:00' };
  return entry({ windows: [sound, sound, { ...sound, ...fields }] });
};
const group = (fields: unknown): unknown => ({ entries: {}, groups: { 'the "g"': fields } });

/** What is bad at a place, and the beginning of the message, which names it. */
const places: [place: string, bad: Table, policy: (value: never) => unknown][] = [
  ['policy ', [...badOptions, ['undefined', undefined]], (value) => value],
  ["policy has no 'x'", [['x', 1]], (x) => ({ entries: {}, x })],
  ['policy.entries ', [['undefined', undefined], ['null', null], ['an array', []], ['a Map', new Map()]],
    (entries) => ({ entries })],
  ['a key of policy.entries ', [['empty', ''], ['NUL', 'a\0'], ['a lone surrogate', '\ud800'], ['a group', 'group:g']],
    (id) => ({ entries: { [id]: {} } })],
  ['policy.entries["x"] ', [['undefined', undefined], ['null', null], ['an array', []], ['a text', 'y']],
    (x) => ({ entries: { x } })],
  ['policy.entries["x"] has no \'dailyMS\'; did you mean dailyMs', [['1', 1]], (dailyMS) => entry({ dailyMS })],
  ['policy.entries["x"].dailyMs ', given(badDurations), (dailyMs) => entry({ dailyMs })],
  ['policy.entries["x"].weeklyMs ', given(badDurations), (weeklyMs) => entry({ weeklyMs })],
  ['policy.entries["x"].usesBalance ', given(badTexts), (usesBalance) => entry({ usesBalance })],
  ['policy.entries["x"].groups ', [['a text', 'g'], ['an object', { 0: 'g' }]], (groups) => entry({ groups })],
  ['policy.entries["x"].groups[1] ', [['unknown', 'h'], ['twice', 'g'], ['a number', 1], ['a subject', 'group:g'],
    ['a property of every object', 'constructor']], (name) => entry({ groups: ['g', name] })],
  ['policy.entries["x"].windows ', [['an object', {}], ['a text', '08:00']], (windows) => entry({ windows })],
  ['policy.entries["x"].windows[2] ', [['a text', '08:00-09:00'], ['undefined', undefined], ['null', null]],
    (value) => entry({ windows: [{ from: '08:00', to: '09:00' }, { from: '08:00', to: '09:00' }, value] })],
  ['policy.entries["x"].windows[2] has no \'until\'', [['a time', '09:00']], (until) => window({ until })],
  ['policy.entries["x"].windows[2].from ', [...badTimes, ['24:00', '24:00']], (from) => window({ from })],
  ['policy.entries["x"].windows[2].to ', [...badTimes, ['24:01', '24:01'], ['from', '08:00']], (to) => window({ to })],
  ['policy.entries["x"].windows[2].days ', [['a number', 1], ['a text', '1'], ['none', []]],
    (days) => window({ days })],
  ['policy.entries["x"].windows[2].days[1] ', [...badWeekdays, ['twice', 3]], (day) => window({ days: [3, day] })],
  ['policy.groups ', [['null', null], ['an array', []]], (groups) => ({ entries: {}, groups })],
  ['policy.groups["the \\"g\\""] ', [['undefined', undefined], ['null', null]], group],
  ['policy.groups["the \\"g\\""].dailyMs ', given(badDurations), (dailyMs) => group({ dailyMs })],
  ['policy.groups["the \\"g\\""] has no \'groups\'', [['a name', ['g']]], (groups) => group({ groups })],
  ['policy.weekStartsOn ', given(badWeekdays), (weekStartsOn) => ({ entries: {}, weekStartsOn })],
];

for (const [place, bad, policyOf] of places) {
  test(`a policy is refused with a message that begins with ${place}`, () => {
    using store = SqliteStore.inMemory();
    for (const [name, value] of bad) {
      const policy = policyOf(value as never) as LimitPolicy;
      for (const call of [() => checkPolicy(policy), () => evaluate(store, policy, 'x')]) {
        assert.throws(call, (error) => {
          assert.ok(error instanceof StoreError, `${name}: ${error}`);
          assert.equal(error.code, 'ERR_STORE_INVALID_ARGUMENT', name);
          assert.ok(error.message.startsWith(place), `${name}: ${error.message}`);
          return true;
        }, name);
      }
    }
  });
}

const policy: LimitPolicy = { entries: { x: { windows: [{ days: [1], from: '08:00', to: '24:00' }] } } };
const badZones: Table = [['an unknown one', 'Mars/Olympus'], ['a number', 1], ['empty', ''], ['null', null]];

test('every other argument is refused as well', (t) => {
  const store = new TestFolder(t).open();
  const refused = (name: string, call: () => unknown): void => {
    assert.throws(call, { name: 'StoreError', code: 'ERR_STORE_INVALID_ARGUMENT' }, name);
  };
  for (const [name, value] of [...badOptions, ['undefined', undefined]]) {
    refused(`store: ${name}`, () => evaluate(value as never, policy, 'x'));
    refused(`store: ${name}`, () => evaluateAll(value as never, policy, ['x']));
  }
  for (const [name, value] of badTexts) refused(`entryId: ${name}`, () => evaluate(store, policy, value as never));
  for (const [name, value] of badTextLists) {
    refused(`entryIds: ${name}`, () => evaluateAll(store, policy, value as never));
  }
  const options: Table = [
    ...badOptions, ['a getter that throws', throwing('at')],
    ...given(badInstants).map(([name, at]): Table[number] => [`at: ${name}`, { at }]),
    ...badZones.map(([name, timeZone]): Table[number] => [`timeZone: ${name}`, { timeZone }]),
  ];
  for (const [name, value] of options) {
    refused(name, () => evaluate(store, policy, 'x', value as never));
    refused(name, () => evaluateAll(store, policy, ['x'], value as never));
  }
  const undefinedOptions = { at: undefined, timeZone: undefined };
  assert.equal(evaluate(store, policy, 'y', undefinedOptions).reasons[0]!.code, 'unknown_entry');
});

test('a checked policy is a copy that nobody can change, and another one may be changed between calls', () => {
  using store = SqliteStore.inMemory();
  const rules = { dailyMs: 5, groups: ['g'], windows: undefined };
  const policyOf = { entries: { x: rules }, groups: { g: { weeklyMs: undefined } }, weekStartsOn: undefined };
  const checked = checkPolicy(policyOf);
  assert.deepEqual(checked, { entries: { x: { dailyMs: 5, groups: ['g'] } }, groups: { g: {} } });
  assert.equal(checkPolicy(checked), checked);
  for (const part of [checked, checked.entries, checked.entries['x']!, checked.entries['x']!.groups!]) {
    assert.ok(Object.isFrozen(part));
  }
  assert.equal(evaluate(store, policyOf, 'x').remainingMs, 5);
  rules.dailyMs = 7;
  assert.equal(evaluate(store, policyOf, 'x').remainingMs, 7);
  assert.equal(evaluate(store, checked, 'x').remainingMs, 5);
});

test('a policy that JSON has, and one without a prototype, are accepted', () => {
  const text = '{"entries":{"__proto__":{"windows":[{"from":"22:00","to":"06:00"}],"usesBalance":"tokens"}}}';
  assert.equal(JSON.stringify(checkPolicy(JSON.parse(text))), text);
  assert.equal(JSON.stringify(checkPolicy(Object.assign(Object.create(null), { entries: {} }))), '{"entries":{}}');
});
