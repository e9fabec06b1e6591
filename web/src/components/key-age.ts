// When a key or a sign-in is about to run out, and how that is said.
import type { Connection } from "../api/types";

/** How many days before it runs out a key is worth a word. */
export const WARN_DAYS = 7;
const DAY_MS = 24 * 60 * 60_000;

/** The days until somebody has to replace it: 0 on its last day, negative afterwards. Nothing while there is time. */
export function daysLeft(connection: Connection, now: number): number | null {
  if (connection.replace_by === null || connection.status === "expired" || connection.status === "revoked") return null;
  const left = Math.floor((Date.parse(connection.replace_by) - now) / DAY_MS);
  return left < WARN_DAYS ? left : null;
}

/** What is about to happen to it, in a sentence without an end. */
export function ageWords(connection: Connection, left: number): string {
  const signIn = connection.auth_type === "oauth";
  const tooOld = !signIn && connection.replace_by !== connection.expires_at;
  if (left < 0) return signIn ? "the sign-in has run out" : tooOld ? "older than you want it" : "past the day it runs out";
  const when = left === 0 ? "within a day" : left === 1 ? "in 1 day" : `in ${left} days`;
  return signIn ? `sign in again: it runs out ${when}` : tooOld ? `to be replaced ${when}` : `runs out ${when}`;
}
