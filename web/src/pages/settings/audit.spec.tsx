import { screen, waitFor, within } from "@testing-library/react";
import { useState } from "react";
import { beforeEach, describe, expect, it } from "vitest";
import { aConnection, aNoun, anEvent, aProject } from "../../../test/nouns";
import { page, problem, route } from "../../../test/network";
import { show } from "../../../test/page";
import type { AuditFilter } from "../../api/queries";
import type { AuditAction, AuditEvent } from "../../api/types";
import { ACTIONS, auditFilter } from "../../components/audit-actions";
import { nounWords, outcomeWords, sentence } from "../../components/audit-words";
import { ConnectionRow } from "../../components/connection-row";
import { AuditLog } from "./audit";

const BAKERY = aNoun({ kind: "project", id: "prj_1", name: "Bakery" });

/** What a person reads of an event. */
const said = (event: AuditEvent, me = "usr_1") =>
  sentence(event, me)
    .map((piece) => (typeof piece === "string" ? piece : nounWords(piece, event, me)))
    .join("");

function Shown({ first }: { first?: AuditFilter }) {
  const [filter, setFilter] = useState(first ?? {});
  return (
    <>
      <AuditLog filter={filter} onFilter={setFilter} />
      <output>{JSON.stringify(filter)}</output>
    </>
  );
}

beforeEach(() => {
  route("get", "/api/me", { json: { id: "usr_1", username: "ana", role: "admin", created_at: "2026-01-02T10:00:00.000Z" } });
  route("get", "/api/users", page([{ id: "usr_1", username: "ana", role: "admin", created_at: "2026-01-02T10:00:00.000Z" }, { id: "usr_2", username: "bob", role: "member", created_at: "2026-01-02T10:00:00.000Z" }]));
  route("get", "/api/connections", page([aConnection()]));
  route("get", "/api/projects", page([aProject()]));
});

it("events_are_sentences_with_links_to_what_is_still_there", async () => {
  const delivered = anEvent({ seq: 7, action: "deliver", actor: aNoun({ kind: "job", id: "job_1", name: null, open: false }), project: BAKERY });
  route("get", "/api/audit", page([delivered, anEvent({ seq: 6, noun: aNoun({ open: false }), action: "disconnect" })]));
  show(<Shown />);
  const [first, second] = await screen.findAllByRole("listitem");
  expect(first?.textContent).toContain("doce delivered Anthropic (personal) to the agent of Bakery");
  expect(within(first!).getByRole("link", { name: "Bakery" }).getAttribute("href")).toBe("/projects/prj_1");
  expect(second?.textContent).toContain("You disconnected Anthropic (personal)");
  expect(within(second!).queryByRole("link")).toBeNull();
  expect(screen.getByText("That is everything.")).toBeTruthy();
  const download = screen.getByRole("link", { name: "Download" });
  expect(download.getAttribute("href")).toBe("/api/audit/export");
});

it("older_events_are_loaded_from_where_the_page_ended", async () => {
  const asked = route("get", "/api/audit", ({ query }) => (query.get("before") === "41" ? page([anEvent({ seq: 40 })]) : { json: { items: [anEvent({ seq: 41 })], next: "41" } }));
  const { user } = show(<Shown />);
  await user.click(await screen.findByRole("button", { name: "Load older" }));
  await waitFor(() => expect(screen.getAllByRole("listitem")).toHaveLength(2));
  expect(asked.map(({ query }) => query.get("before"))).toEqual([null, "41"]);
  expect(screen.queryByRole("button", { name: "Load older" })).toBeNull();
});

it("a_page_that_ended_early_is_gone_on_with_until_something_is_found", async () => {
  route("get", "/api/audit", ({ query }) => ({ null: { json: { items: [], next: "9000" } }, 9000: { json: { items: [], next: "4000" } }, 4000: page([anEvent({ seq: 12 })]) })[String(query.get("before"))]!);
  show(<Shown />);
  expect(await screen.findByRole("button", { name: "Details of event 12" })).toBeTruthy();
});

it("filters_are_asked_of_the_server_and_can_be_taken_off", async () => {
  const asked = route("get", "/api/audit", ({ query }) => (query.get("action") === "export" ? page([]) : page([anEvent()])));
  const { user } = show(<Shown />);
  await screen.findAllByRole("listitem");
  await screen.findByRole("option", { name: "bob" });
  await user.selectOptions(screen.getByLabelText("By"), "bob");
  await waitFor(() => expect(asked.at(-1)?.query.get("actor")).toBe("usr_2"));
  await user.selectOptions(screen.getByLabelText("About"), "Anthropic (personal)");
  await waitFor(() => expect(asked.at(-1)?.query.get("connection")).toBe("con_1"));
  await user.selectOptions(screen.getByLabelText("About"), "Bakery");
  await waitFor(() => expect(Object.fromEntries(asked.at(-1)!.query)).toEqual({ actor: "usr_2", noun: "prj_1", limit: "50" }));
  await user.selectOptions(screen.getByLabelText("What"), "Exported");
  expect(await screen.findByText("No event is about this.")).toBeTruthy();
  expect(screen.getByRole("link", { name: "Download" }).getAttribute("href")).toBe("/api/audit/export?action=export&actor=usr_2&noun=prj_1");
  await user.click(screen.getAllByRole("button", { name: "Show everything" })[0]!);
  expect(await screen.findAllByRole("listitem")).toHaveLength(1);
  expect(screen.getByRole("status").textContent).toBe("{}");
});

it("what_is_filtered_by_its_id_alone_is_called_by_its_name", async () => {
  route("get", "/api/audit", page([anEvent({ noun: aNoun({ id: "con_9", name: "Groq (old)", open: false }) })]));
  show(<Shown first={{ connection: "con_9" }} />);
  expect(await screen.findByText(/Where the key of Groq \(old\) was used/)).toBeTruthy();
  expect(screen.getByLabelText<HTMLSelectElement>("About").selectedOptions[0]?.textContent).toBe("Groq (old)");
});

it("details_open_with_the_keyboard_and_lead_on", async () => {
  route("get", "/api/audit", page([anEvent({ seq: 2, address: null, request_id: "req_42" }), anEvent({ seq: 1, fingerprint: null })]));
  const { user } = show(<Shown />);
  const first = await screen.findByRole("button", { name: "Details of event 2" });
  first.focus();
  await user.keyboard("{ArrowDown}{ArrowDown}");
  expect(document.activeElement).toBe(screen.getByRole("button", { name: "Details of event 1" }));
  await user.keyboard("{ArrowUp}{Enter}");
  expect(first.getAttribute("aria-expanded")).toBe("true");
  const details = document.getElementById(first.getAttribute("aria-controls")!)!;
  for (const words of ["req_42", "abc", "none: it did not come over the network", `2:${"0".repeat(64)}`]) expect(details.textContent).toContain(words);
  await user.click(within(details).getByRole("button", { name: "Where was this key used" }));
  expect(screen.getByRole("status").textContent).toBe('{"connection":"con_1"}');
});

it("a_log_that_can_not_be_read_says_so_and_is_tried_again", async () => {
  route("get", "/api/audit", problem(500, "internal", "internal error"));
  const { user } = show(<Shown />);
  expect(await screen.findByText("internal error")).toBeTruthy();
  route("get", "/api/audit", page([anEvent()]));
  await user.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findAllByRole("listitem")).toHaveLength(1);
});

it("a_connection_leads_to_where_its_key_was_used", async () => {
  const { user, router } = show(
    <ul>
      <ConnectionRow connection={aConnection()} />
    </ul>,
  );
  await user.click(await screen.findByRole("button", { name: "Anthropic personal: more" }));
  await user.click(await screen.findByRole("menuitem", { name: "Where was this key used" }));
  await waitFor(() => expect(router.state.location.href).toBe("/settings/audit?connection=con_1"));
});

describe("sentences", () => {
  it.each<[Partial<AuditEvent>, string]>([
    [{ action: "use", project: BAKERY, detail: "3 answers" }, "The agent of Bakery used Anthropic (personal): 3 answers"],
    [{ action: "verify", detail: "no_credit" }, "You checked Anthropic (personal): works, but has no credit"],
    [{ action: "verify", outcome: "rejected_in_use" }, "Anthropic (personal) was rejected when an agent used it"],
    [{ action: "sign_in_refused", actor: aNoun({ kind: "nobody", id: "nobody", name: null }), noun: aNoun({ kind: "other", id: "ana", name: null }) }, "Somebody failed to sign in as “ana”"],
    [{ action: "export", actor: aNoun({ kind: "cli", id: "cli", name: null }) }, "The command line exported the key of Anthropic (personal)"],
    [{ action: "export", noun: aNoun({ kind: "other", id: "audit_log", name: null }) }, "You downloaded the audit log"],
    [{ action: "retry_job", noun: aNoun({ kind: "job", id: "job_1", name: null }), project: BAKERY }, "You ran a job of Bakery again"],
    [{ action: "made_up" as AuditAction }, "You: made_up Anthropic (personal)"],
  ])("%j_is_said_as_%s", (more, words) => {
    expect(said(anEvent(more))).toBe(words);
  });
  it("somebody_elses_noun_is_known_by_its_owner_and_a_gone_one_by_that", () => {
    const ofBob = anEvent({ actor: aNoun({ kind: "user", id: "usr_2", name: "bob" }), owner: aNoun({ kind: "user", id: "usr_2", name: "bob" }), noun: aNoun({ name: null, open: false }) });
    expect(said(ofBob)).toBe("bob connected one of their connections");
    expect(said({ ...ofBob, action: "deliver", actor: aNoun({ kind: "job", id: "job_1", name: null }) })).toBe("doce delivered a connection of bob to an agent");
    const gone = anEvent({ action: "delete_project", noun: aNoun({ kind: "project", id: "prj_1", name: null, open: false }) });
    expect(said(gone)).toBe("You deleted a project that is gone");
  });
  it("every_action_has_a_sentence_of_its_own", () => {
    for (const action of Object.keys(ACTIONS) as AuditAction[]) expect(said(anEvent({ action }))).not.toContain(`: ${action} `);
  });
  it("what_did_not_end_well_is_said", () => {
    expect(outcomeWords("ok")).toBeNull();
    expect(outcomeWords("not_read_back")?.word).toBe("not confirmed");
    expect(outcomeWords("made_up")?.word).toBe("made_up");
  });
});

it("a_filter_is_read_from_an_address_and_what_is_none_is_left_out", () => {
  expect(auditFilter({ action: "use", connection: "con_1", actor: "", noun: 7, page: "2" })).toEqual({ action: "use", connection: "con_1" });
  expect(auditFilter({ action: "toString" })).toEqual({});
});
