// An audit event as a sentence that a person understands. Pieces that are nouns are shown by their name, linked if they
// can still be opened.
import type { AuditAction, AuditEvent, AuditNoun, Verification } from "../api/types";
import type { Tone } from "../ui/badge";
import { VERIFICATION } from "./states";

export type Piece = string | AuditNoun;

/** Who did it: a person by name, the program by its own. */
function who(event: AuditEvent, me: string | undefined): Piece {
  const { actor } = event;
  switch (actor.kind) {
    case "user":
      return actor.id === me ? "You" : actor;
    case "api_token": {
      const whose = actor.name === null ? "An API token" : `The API token “${actor.name}”`;
      return event.owner !== null && event.owner.id !== me ? "An API token" : whose;
    }
    case "cli":
      return "The command line";
    case "nobody":
      return "Somebody";
    default:
      return "doce";
  }
}

const of =
  (before: string, after = "") =>
  (event: AuditEvent, actor: Piece): Piece[] => [actor, ` ${before} `, event.noun, after];

const inProject = (event: AuditEvent): Piece[] => (event.project === null ? [] : [" of ", event.project]);

const SENTENCES: Record<AuditAction, (event: AuditEvent, actor: Piece) => Piece[]> = {
  set_up: (_, actor) => [actor, " made the first account"],
  sign_in: (_, actor) => [actor, " signed in"],
  sign_in_refused: (event, actor) => [actor, ` failed to sign in as “${event.noun.id}”`],
  sign_out: (_, actor) => [actor, " signed a browser out"],
  change_password: (_, actor) => [actor, " changed the password"],
  create_user: of("made the account"),
  change_role: (event, actor) => [actor, " made ", event.noun, event.detail === "admin" ? " an admin" : " a member"],
  disable_user: of("disabled the account"),
  enable_user: of("enabled the account"),
  create_token: of("made the API token"),
  revoke_token: of("revoked the API token"),
  invite: (event, actor) => [actor, event.detail === "admin" ? " made a link for a new admin" : " made a link for a new member"],
  revoke_invite: (_, actor) => [actor, " took back a link for a new account"],
  reset_password: of("gave a new password to"),
  connect: of("connected"),
  change_model_preference: (event, actor) => [actor, ` changed a model preference${event.detail === null ? "" : `: ${event.detail}`}`],
  switch_connection: (event, actor) => [actor, " switched ", ...(event.project === null ? ["a project"] : [event.project]), " to ", event.noun],
  change_connection: of("changed"),
  replace: of("replaced the key of"),
  verify: (event, actor) => (event.outcome === "rejected_in_use" ? [event.noun, " was rejected when an agent used it"] : [actor, " checked ", event.noun, checked(event)]),
  disconnect: of("disconnected"),
  begin_login: (event, actor) => [actor, ` began to sign in at ${event.detail ?? "a provider"}`],
  answer_login: (_, actor) => [actor, " answered a sign-in at a provider"],
  cancel_login: (_, actor) => [actor, " cancelled a sign-in at a provider"],
  refresh: (event) => (event.outcome === "ok" ? ["doce renewed the sign-in of ", event.noun] : ["The sign-in of ", event.noun, " was not renewed"]),
  deliver: (event) => ["doce delivered ", event.noun, ...to(event)],
  use: (event) => [...(event.project === null ? ["An agent"] : ["The agent of ", event.project]), " used ", event.noun, event.detail === null ? "" : `: ${event.detail}`],
  revoke: (event) => ["doce took ", event.noun, ...(event.project === null ? [" back"] : [" back from ", event.project])],
  create_project: of("made"),
  change_project: of("changed"),
  start_project: of("started"),
  stop_project: of("stopped"),
  delete_project: of("deleted"),
  prompt: of("sent a prompt to"),
  abort: of("stopped the answer in"),
  open_preview: of("opened the preview of"),
  cancel_job: (event, actor) => [actor, " cancelled a job", ...inProject(event)],
  retry_job: (event, actor) => [actor, " ran a job", ...inProject(event), " again"],
  pause_queue: (_, actor) => [actor, " paused the queue"],
  resume_queue: (_, actor) => [actor, " resumed the queue"],
  unsandboxed: () => ["The server was started without a sandbox"],
  refuse_permission: (event) => ["doce refused a permission to the agent of ", event.noun],
  export: (event, actor) => (event.noun.kind === "connection" ? [actor, " exported the key of ", event.noun] : [actor, event.noun.id === "keys" ? " tried to export keys" : " downloaded the audit log"]),
  import: (event, actor) => (event.detail === "begun" ? [actor, ` began to bring over what ${event.noun.id} holds`] : [actor, " brought over ", event.noun]),
  preview_import: (event, actor) => [actor, ` looked at what would come over from ${event.noun.id}`],
  ask_endpoint: (event, actor) => [actor, ` asked ${event.detail ?? "an address"} what it offers`],
  retry_opencode: (_, actor) => [actor, " tried again to set OpenCode up"],
  rotate_keys: (event, actor) => [actor, event.detail === "begun" ? " began to change the master key" : " changed the master key"],
  copy_key: (_, actor) => [actor, " said that there is a copy of the master key"],
};

function to(event: AuditEvent): Piece[] {
  return event.project === null ? [" to an agent"] : [" to the agent of ", event.project];
}

function checked({ detail }: AuditEvent): string {
  const known = detail !== null && Object.hasOwn(VERIFICATION, detail) ? VERIFICATION[detail as Verification["outcome"]] : undefined;
  return known === undefined ? "" : `: ${known.word}`;
}

/** Says what happened. `me` is the id of whoever reads it. */
export function sentence(event: AuditEvent, me: string | undefined): Piece[] {
  // A newer server may know more.
  const say = SENTENCES[event.action] as (typeof SENTENCES)[AuditAction] | undefined;
  const pieces = say?.(event, who(event, me)) ?? [who(event, me), `: ${event.action} `, event.noun];
  return pieces.filter((piece) => piece !== "");
}

const KINDS: Partial<Record<AuditNoun["kind"], string>> = { user: "account", sign_in: "browser", api_token: "API token", connection: "connection", project: "project", job: "job" };

/** What a noun of an event is called: by its name, or by what it is and whose. */
export function nounWords(noun: AuditNoun, { owner, actor }: AuditEvent, me: string | undefined): string {
  if (noun.name !== null) return noun.name;
  const kind = KINDS[noun.kind];
  if (kind === undefined) return noun.id;
  if (owner !== null && owner.id !== me && noun.kind !== "user") return owner.id === actor.id ? `one of their ${kind}s` : `a ${kind} of ${owner.name ?? "somebody"}`;
  return `${/^[aA]/.test(kind) ? "an" : "a"} ${kind} that is gone`;
}

const OUTCOMES: Record<string, { word: string; tone: Tone } | null> = {
  ok: null,
  // Said in the sentence already.
  sign_in_failed: { word: "refused", tone: "amber" },
  rejected_in_use: { word: "rejected", tone: "red" },
  wrong_password: { word: "wrong password", tone: "amber" },
  not_read_back: { word: "not confirmed", tone: "amber" },
};

/** What is to be said of how it ended; `null` if it ended well. */
export function outcomeWords(outcome: string): { word: string; tone: Tone } | null {
  const known = OUTCOMES[outcome];
  return known === undefined ? { word: outcome, tone: "red" } : known;
}
