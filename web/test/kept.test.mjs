import assert from "node:assert/strict";
import { test } from "node:test";
import { kept, restored } from "../src/chat/kept.js";

const user = (content, id = 1) => ({ id, role: "user", content });
const answer = (content, changes = {}) => ({ id: 2, role: "assistant", content, thinking: "", state: "done", ...changes });

test("a conversation comes back as it was", () => {
  const messages = [user("a"), answer("b", { thinking: "hm", figures: { eval_count: 3 } }), user("c", 3), answer("", { id: 4, state: "failed", error: "no" })];
  const again = restored(JSON.parse(JSON.stringify(kept(messages))));
  assert.deepEqual(again.map((it) => [it.id, it.role, it.content, it.state ?? ""]), [[1, "user", "a", ""], [2, "assistant", "b", "done"], [3, "user", "c", ""], [4, "assistant", "", "failed"]]);
  assert.equal(again[1].thinking, "hm");
  assert.equal(again[1].figures.eval_count, 3);
  assert.equal(again[3].error, "no");
});

test("an answer that was under way was stopped", () => {
  for (const state of ["waiting", "running"]) assert.equal(kept([user("a"), answer("b", { state })])[1].state, "stopped");
});

test("the latest is kept, from a question on, within bounds", () => {
  const messages = Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? user("x".repeat(1000), i) : answer("y".repeat(1000), { id: i })));
  const some = kept(messages, 10000);
  assert.equal(some[0].role, "user");
  assert.ok(some.length > 4 && some.length < 10 && some.at(-1) === messages.at(-1));
  assert.deepEqual(kept([user("x".repeat(1000)), answer("y")], 900), []);
  assert.deepEqual(kept([user("x".repeat(1000))], 900), []);
});

test("whatever else is found there counts for nothing", () => {
  for (const other of [null, 5, "text", {}, [null, 5, {}, { role: "user" }, { role: "system", content: "x" }, { role: "assistant", content: 5 }]]) {
    assert.deepEqual(restored(other), []);
  }
  assert.deepEqual(restored([{ role: "assistant", content: "a", figures: 5, error: 7, state: "odd" }]), [{ id: 1, role: "assistant", content: "a", thinking: "", state: "stopped", error: "", figures: undefined }]);
});
