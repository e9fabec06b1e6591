// What the server's stream can say, and how its frames are read.
import type { Connection, ImportRun, Job, KeyRotation, Message, ModelPreferences, OAuthAttempt, OpenCode, Part, Project, Queue } from "../api/types";

export type StreamPayload =
  | { type: "project"; project: Project }
  | { type: "project_deleted"; project_id: string }
  | { type: "connection"; connection: Connection }
  | { type: "connection_deleted"; connection_id: string }
  | { type: "job"; job: Job }
  | { type: "message"; project_id: string; message: Message }
  | { type: "part"; project_id: string; message_id: string; part: Part }
  | { type: "delta"; project_id: string; message_id: string; part_id: string; offset: number; delta: string }
  | { type: "message_deleted"; project_id: string; message_id: string }
  | { type: "files"; project_id: string }
  | { type: "model_preferences"; preferences: ModelPreferences }
  | { type: "oauth_attempt"; attempt: OAuthAttempt }
  | { type: "import"; import: ImportRun }
  | { type: "key_rotation"; rotation: KeyRotation }
  | { type: "opencode"; opencode: OpenCode }
  | { type: "queue"; queue: Queue };

/** One event with its place in the stream. `id` is `<boot>-<n>`, or empty when the frame had none. */
export type StreamEvent = StreamPayload & { id: string };

const TYPES: Record<StreamPayload["type"], true> = {
  project: true,
  project_deleted: true,
  connection: true,
  connection_deleted: true,
  job: true,
  message: true,
  part: true,
  delta: true,
  message_deleted: true,
  files: true,
  model_preferences: true,
  oauth_attempt: true,
  import: true,
  key_rotation: true,
  opencode: true,
  queue: true,
};

export function isEventType(type: string): type is StreamPayload["type"] {
  return Object.hasOwn(TYPES, type);
}

function split(id: string): { boot: string; n: number } | null {
  const dash = id.lastIndexOf("-");
  if (dash < 1) return null;
  const n = Number(id.slice(dash + 1));
  return Number.isFinite(n) ? { boot: id.slice(0, dash), n } : null;
}

/** Whether an event comes after a snapshot. Ids of different boots can't be compared: those count as newer. */
export function isNewer(id: string, than: string | null): boolean {
  if (than === null) return true;
  const event = split(id);
  const snapshot = split(than);
  if (event === null || snapshot === null || event.boot !== snapshot.boot) return true;
  return event.n > snapshot.n;
}
