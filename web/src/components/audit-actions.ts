// What is told of in the audit log, and where each thing stands in the filter.
import type { AuditFilter } from "../api/queries";
import type { AuditAction } from "../api/types";
import { auditSearch } from "./audit-filter";

/** Every action under the heading that it stands at in the filter, by the word that a person reads there. */
export const ACTIONS: Record<AuditAction, { group: "Keys" | "Projects" | "People" | "Server"; word: string }> = {
  connect: { group: "Keys", word: "Connected" },
  verify: { group: "Keys", word: "Checked" },
  replace: { group: "Keys", word: "Key replaced" },
  change_connection: { group: "Keys", word: "Connection changed" },
  switch_connection: { group: "Keys", word: "Switched in a project" },
  deliver: { group: "Keys", word: "Delivered" },
  use: { group: "Keys", word: "Used" },
  revoke: { group: "Keys", word: "Taken back" },
  disconnect: { group: "Keys", word: "Disconnected" },
  begin_login: { group: "Keys", word: "Sign-in at a provider begun" },
  answer_login: { group: "Keys", word: "Sign-in at a provider answered" },
  cancel_login: { group: "Keys", word: "Sign-in at a provider cancelled" },
  refresh: { group: "Keys", word: "Sign-in renewed" },
  create_project: { group: "Projects", word: "Project made" },
  change_project: { group: "Projects", word: "Project changed" },
  start_project: { group: "Projects", word: "Project started" },
  stop_project: { group: "Projects", word: "Project stopped" },
  delete_project: { group: "Projects", word: "Project deleted" },
  prompt: { group: "Projects", word: "Prompt sent" },
  abort: { group: "Projects", word: "Answer stopped" },
  open_preview: { group: "Projects", word: "Preview opened" },
  cancel_job: { group: "Projects", word: "Job cancelled" },
  retry_job: { group: "Projects", word: "Job run again" },
  refuse_permission: { group: "Projects", word: "Permission refused" },
  set_up: { group: "People", word: "First account" },
  create_user: { group: "People", word: "Account made" },
  sign_in: { group: "People", word: "Signed in" },
  sign_in_refused: { group: "People", word: "Sign-in refused" },
  sign_out: { group: "People", word: "Signed out" },
  change_model_preference: { group: "People", word: "Model preferred" },
  change_role: { group: "People", word: "Role changed" },
  disable_user: { group: "People", word: "Account disabled" },
  enable_user: { group: "People", word: "Account enabled" },
  reset_password: { group: "People", word: "Password reset" },
  create_token: { group: "People", word: "API token made" },
  revoke_token: { group: "People", word: "API token revoked" },
  invite: { group: "People", word: "Invited" },
  revoke_invite: { group: "People", word: "Invite taken back" },
  change_password: { group: "People", word: "Password changed" },
  export: { group: "Server", word: "Exported" },
  import: { group: "Server", word: "Brought over" },
  preview_import: { group: "Server", word: "Import looked at" },
  ask_endpoint: { group: "Keys", word: "Asked an address for its models" },
  retry_opencode: { group: "Server", word: "OpenCode tried again" },
  pause_queue: { group: "Server", word: "Queue paused" },
  resume_queue: { group: "Server", word: "Queue resumed" },
  rotate_keys: { group: "Server", word: "Master key changed" },
  copy_key: { group: "Server", word: "Master key copied" },
  unsandboxed: { group: "Server", word: "Started without sandbox" },
};

const isAction = (text: string | undefined): text is AuditAction => text !== undefined && Object.hasOwn(ACTIONS, text);

/** Reads a filter; what isn't one is left out. */
export function auditFilter(search: Record<string, unknown>): AuditFilter {
  const { action, ...rest } = auditSearch(search);
  return { ...(isAction(action) ? { action } : {}), ...rest };
}
