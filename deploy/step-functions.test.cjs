// Walks step-functions.asl.json with jobs that end in each exit status, and holds the way taken against what
// docs/operate.md says of the status. It knows the few features of the language that the file uses, and evaluates
// JSONata by the package that defines it; Step Functions may differ. NODE_PATH names the folder that has jsonata.
"use strict";
const assert = require("node:assert");
const test = require("node:test");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const jsonata = require("jsonata");

const machine = JSON.parse(readFileSync(join(__dirname, "step-functions.asl.json"), "utf8"));

async function evaluate(value, states, variables) {
  if (Array.isArray(value)) return Promise.all(value.map((item) => evaluate(item, states, variables)));
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value).map(async ([key, item]) => [key, await evaluate(item, states, variables)]);
    return Object.fromEntries(await Promise.all(entries));
  }
  const code = typeof value === "string" && value.match(/^\{%(.*)%\}$/s);
  if (!code) return value;
  const expression = jsonata(code[1]);
  expression.registerFunction("parse", (text) => JSON.parse(text)); // an addition of Step Functions
  const result = await expression.evaluate({}, { states, ...variables });
  assert.notStrictEqual(result, undefined, `Step Functions refuses an expression without a result: ${code[1]}`);
  return result;
}

/** Runs the machine; `submit` gives for each attempt null, or the error with which the job ends. */
async function run(submit, input = {}) {
  const context = { Execution: { StartTime: "2025-09-01T03:00:00.123Z" } };
  const variables = {};
  const seen = { commands: [], waits: [], messages: [] };
  let name = machine.StartAt;
  for (let steps = 0; steps < 100; steps++) {
    const state = machine.States[name];
    const states = { input, context };
    const assign = async (wanted = {}) => Object.assign(variables, await evaluate(wanted, states, variables));
    if (state.Type === "Succeed") return { ...seen, end: name };
    if (state.Type === "Fail") {
      await evaluate(state.Cause, states, variables);
      return { ...seen, end: name };
    }
    let next = state.Next;
    let wanted = state.Assign;
    if (state.Type === "Choice") {
      next = state.Default;
      for (const choice of state.Choices) {
        const holds = await evaluate(choice.Condition, states, variables);
        assert.strictEqual(typeof holds, "boolean", choice.Condition);
        if (holds) {
          next = choice.Next;
          break;
        }
      }
    } else if (state.Type === "Wait") {
      seen.waits.push(await evaluate(state.Seconds, states, variables));
    } else if (state.Type === "Task") {
      const sent = await evaluate(state.Arguments, states, variables);
      if (state.Resource.endsWith("sns:publish")) {
        seen.messages.push({ to: sent.TopicArn, text: sent.Message });
      } else {
        assert.strictEqual(sent.RetryStrategy.Attempts, 1, "Batch must not retry as well");
        seen.commands.push(sent.ContainerOverrides.Command.join(" "));
        states.errorOutput = submit(seen.commands.length);
        if (states.errorOutput) {
          // States.TaskFailed stands for every error but a timeout.
          const names = (error) => error === "States.ALL" || error === states.errorOutput.Error
            || (error === "States.TaskFailed" && states.errorOutput.Error !== "States.Timeout");
          const handler = state.Catch.find((one) => one.ErrorEquals.some(names));
          next = handler.Next;
          wanted = handler.Assign;
        }
      }
    }
    await assign(wanted);
    name = next;
  }
  throw new Error("the machine does not end");
}

const ended = (status, reason = "Essential container in task exited") => ({
  Error: "States.TaskFailed",
  Cause: JSON.stringify({
    Container: { ...(status === undefined ? {} : { ExitCode: status }), LogStreamName: "run/default/1" },
    Status: "FAILED",
    StatusReason: reason,
  }),
});
const backOff = [120, 240, 480, 960];

test("0 succeeds, with the day that the execution started as the logical date", async () => {
  const seen = await run(() => null);
  assert.strictEqual(seen.end, "Loaded");
  assert.deepStrictEqual(seen.messages, []);
  assert.deepStrictEqual(seen.commands, ["run --summary-line --metrics emf --log-format json --as-of 2025-09-01"]);
});

test("the input chooses another logical date", async () => {
  const seen = await run(() => null, { asOf: "2025-08-15" });
  assert.deepStrictEqual(seen.commands, ["run --summary-line --metrics emf --log-format json --as-of 2025-08-15"]);
});

test("1 goes to whoever owns the data, without a retry", async () => {
  const seen = await run(() => ended(1));
  assert.strictEqual(seen.end, "Rejected");
  assert.deepStrictEqual(seen.messages.map((message) => message.to), ["${DataOwnerTopic}"]);
  assert.match(seen.messages[0].text, /2025-09-01.*run\/default\/1/);
  assert.strictEqual(seen.commands.length, 1);
});

for (const status of [2, 4, 70]) {
  test(`${status} pages, without a retry`, async () => {
    const seen = await run(() => ended(status));
    assert.strictEqual(seen.end, "Failed");
    assert.deepStrictEqual(seen.messages.map((message) => message.to), ["${PageTopic}"]);
    assert.match(seen.messages[0].text, new RegExp(`attempt 1 with exit status ${status}: Essential`));
    assert.strictEqual(seen.commands.length, 1);
  });
}

for (const status of [3, 137, 143, 139, undefined]) {
  test(`${status ?? "no status"} is retried with back-off, then pages`, async () => {
    const seen = await run(() => ended(status));
    assert.strictEqual(seen.end, "Failed");
    assert.deepStrictEqual(seen.waits, backOff);
    assert.strictEqual(seen.commands.length, 5);
    assert.match(seen.messages[0].text, new RegExp(`attempt 5 with exit status ${status ?? "unknown"}`));
  });

  test(`${status ?? "no status"} twice, then 0, succeeds without a word`, async () => {
    const seen = await run((attempt) => (attempt < 3 ? ended(status) : null));
    assert.strictEqual(seen.end, "Loaded");
    assert.deepStrictEqual(seen.waits, backOff.slice(0, 2));
    assert.deepStrictEqual(seen.messages, []);
  });
}

test("3, then 1, goes to whoever owns the data", async () => {
  const seen = await run((attempt) => ended(attempt === 1 ? 3 : 1));
  assert.strictEqual(seen.end, "Rejected");
});

test("a job that Batch refuses is submitted again, then pages", async () => {
  const seen = await run(() => ({ Error: "Batch.ClientException", Cause: "JobQueue orders not found" }));
  assert.strictEqual(seen.commands.length, 5);
  assert.match(seen.messages[0].text, /exit status unknown: JobQueue orders not found/);
});

test("a run that Batch ends for its time pages, without a retry", async () => {
  const seen = await run(() => ended(137, "Job attempt duration exceeded timeout"));
  assert.strictEqual(seen.commands.length, 1);
  assert.deepStrictEqual(seen.messages.map((message) => message.to), ["${PageTopic}"]);
});

test("a job that never started pages, without a retry", async () => {
  const seen = await run(() => ({ Error: "States.Timeout" }));
  assert.strictEqual(seen.commands.length, 1);
  assert.match(seen.messages[0].text, /exit status unknown: States.Timeout/);
});
