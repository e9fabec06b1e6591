// The typed HTTP client, and the one error type that the pages see.
import createClient from "openapi-fetch";
import type { paths } from "./schema";
import type { Problem } from "./types";

/** What a request that didn't succeed says: the server's problem details, or that the server wasn't reached. */
export class ApiError extends Error {
  /** What it says, for places that show the reference beside it; `message` has both where the server itself failed. */
  readonly detail: string;
  readonly status: number;
  readonly code: string;
  readonly hint: string | null;
  readonly field: string | null;
  readonly requestId: string | null;
  readonly retryAfterSeconds: number | null;

  constructor(status: number, problem: Partial<Problem>, retryAfterSeconds: number | null = null) {
    const detail = problem.detail || problem.title || `The server answered ${status}.`;
    super(status >= 500 && problem.request_id ? `${detail} Reference ${problem.request_id}.` : detail);
    this.name = "ApiError";
    this.detail = detail;
    this.status = status;
    this.code = problem.code ?? "unknown";
    this.hint = problem.hint ?? null;
    this.field = problem.field ?? null;
    this.requestId = problem.request_id ?? null;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  static unreachable(): ApiError {
    return new ApiError(0, { code: "unreachable", detail: "doce can’t be reached. Check that it is running, then try again." });
  }
}

export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError(0, { code: "client", detail: error instanceof Error ? error.message : "The page failed." });
}

let signedOut: () => void = () => {};

/** Names what happens when the server says that this browser isn't signed in. */
export function onSignedOut(listener: () => void): void {
  signedOut = listener;
}

export function reportSignedOut(): void {
  signedOut();
}

export const api = createClient<paths>({
  baseUrl: typeof window === "undefined" ? "http://localhost" : window.location.origin,
  headers: { accept: "application/json" },
  // Looked up at each call, so that a test's interceptor is the one that is used.
  fetch: (request) => globalThis.fetch(request),
});

function retryAfter(response: Response): number | null {
  const seconds = Number(response.headers.get("retry-after"));
  return Number.isFinite(seconds) && seconds > 0 ? seconds : null;
}

function refused(response: Response, body: unknown): ApiError {
  const problem = typeof body === "object" && body !== null ? (body as Partial<Problem>) : {};
  const error = new ApiError(response.status, problem, retryAfter(response));
  if (response.status === 401 && error.code !== "sign_in_failed") reportSignedOut();
  return error;
}

type Outcome<T> = { data?: T; error?: unknown; response: Response };

/** Takes the answer out of a call, or throws the `ApiError` that says why there is none. */
export async function take<T>(call: Promise<Outcome<T>>): Promise<NonNullable<T>> {
  const { data, error, response } = await reach(call);
  if (!response.ok) throw refused(response, error);
  return data as NonNullable<T>;
}

/** Waits for a call that answers without a body. */
export async function done(call: Promise<Outcome<unknown>>): Promise<void> {
  const { error, response } = await reach(call);
  if (!response.ok) throw refused(response, error);
}

async function reach<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw ApiError.unreachable();
  }
}

/** Reads a route that answers bytes. */
export async function takeBytes(path: string, signal?: AbortSignal): Promise<{ bytes: Uint8Array; type: string }> {
  const response = await reach(globalThis.fetch(new URL(path, window.location.origin), { signal: signal ?? null }));
  if (!response.ok) {
    const body: unknown = await response.json().catch(() => null);
    throw refused(response, body);
  }
  return { bytes: new Uint8Array(await response.arrayBuffer()), type: response.headers.get("content-type") ?? "" };
}
