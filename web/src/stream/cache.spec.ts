import { expect, it, vi } from "vitest";
import { aConnection, aJob, aMessage, aProject, aText } from "../../test/nouns";
import { createCache } from "../api/cache";
import { keys } from "../api/queries";
import type { StreamPayload } from "./events";
import { applyEvents } from "./cache";
import type { Conversation } from "./reducer";

const events = (...payloads: StreamPayload[]) => payloads.map((payload, index) => Object.assign({ id: `b-${index}` }, payload));

it("an_event_changes_the_list_and_the_noun_itself", () => {
  const cache = createCache();
  cache.setQueryData(keys.projects, [aProject()]);
  cache.setQueryData(keys.project("prj_1"), aProject());
  applyEvents(cache, events({ type: "project", project: aProject({ name: "Cake" }) }, { type: "job", job: aJob() }));
  expect(cache.getQueryData(keys.projects)).toMatchObject([{ name: "Cake", job: { id: "job_1" } }]);
  expect(cache.getQueryData(keys.project("prj_1"))).toMatchObject({ name: "Cake", job: { id: "job_1" } });
});

it("what_nobody_has_read_is_not_made_up", () => {
  const cache = createCache();
  applyEvents(cache, events({ type: "project", project: aProject() }, { type: "connection", connection: aConnection() }));
  expect(cache.getQueryData(keys.projects)).toBeUndefined();
  expect(cache.getQueryData(keys.connections)).toBeUndefined();
});

it("the_server_says_how_far_opencode_is_and_the_catalogue_is_read_once_it_is_there", () => {
  const cache = createCache();
  cache.setQueryData(keys.system, { opencode: { state: "checking" } });
  const invalidate = vi.spyOn(cache, "invalidateQueries");
  const at = (state: "installing" | "ready") => ({ state, version: "1.18.33", detail: null, downloaded: null, total: null });
  applyEvents(cache, events({ type: "opencode", opencode: at("installing") }));
  expect(cache.getQueryData(keys.system)).toMatchObject({ opencode: { state: "installing" } });
  expect(invalidate).not.toHaveBeenCalled();
  applyEvents(cache, events({ type: "opencode", opencode: at("ready") }));
  expect(invalidate).toHaveBeenCalledWith({ queryKey: keys.providers });
});

it("a_project_that_was_deleted_elsewhere_says_so_on_its_page", () => {
  const cache = createCache();
  cache.setQueryData(keys.project("prj_1"), aProject());
  applyEvents(cache, events({ type: "project_deleted", project_id: "prj_1" }));
  expect(cache.getQueryData(keys.project("prj_1"))).toMatchObject({ state: "deleting" });
});

it("many_deltas_in_one_batch_make_one_text", () => {
  const cache = createCache();
  const start: Conversation = { messages: [aMessage({ parts: [aText("")] })], earlier: null, upTo: null, gap: false };
  cache.setQueryData(keys.messages("prj_1"), start);
  const words = ["one ", "two ", "three"];
  let offset = 0;
  applyEvents(
    cache,
    events(
      ...words.map((delta): StreamPayload => {
        const payload: StreamPayload = { type: "delta", project_id: "prj_1", message_id: "msg_1", part_id: "prt_1", offset, delta };
        offset += delta.length;
        return payload;
      }),
    ),
  );
  expect(cache.getQueryData<Conversation>(keys.messages("prj_1"))?.messages[0]?.parts[0]?.text).toBe("one two three");
});

it("a_gap_is_read_again_once", () => {
  const cache = createCache();
  const start: Conversation = { messages: [aMessage()], earlier: null, upTo: null, gap: false };
  cache.setQueryData(keys.messages("prj_1"), start);
  const invalidate = vi.spyOn(cache, "invalidateQueries");
  const lost: StreamPayload = { type: "delta", project_id: "prj_1", message_id: "msg_1", part_id: "prt_9", offset: 5, delta: "x" };
  applyEvents(cache, events(lost, lost));
  applyEvents(cache, events(lost));
  expect(invalidate).toHaveBeenCalledTimes(1);
});
