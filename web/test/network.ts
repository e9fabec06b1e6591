import { http, HttpResponse, type JsonBodyType } from "msw";
import { setupServer } from "msw/node";

/** Unless a test says otherwise, a member without preferences is signed in, and the queue goes on: pages everywhere ask for these. */
export const network = setupServer(
  http.get("http://localhost/api/models/preferences", () => HttpResponse.json({ preferred: null, favourites: [], recents: [] })),
  http.get("http://localhost/api/queue", () => HttpResponse.json({ paused_at: null })),
  http.get("http://localhost/api/me", () => HttpResponse.json({ id: "usr_1", username: "ana", role: "member", created_at: "2026-01-01T00:00:00.000Z" })),
);

type Verb = "get" | "post" | "put" | "patch" | "delete";
export type Request = { body: Record<string, unknown>; query: URLSearchParams };
export type Answer = { status?: number; json?: JsonBodyType; text?: string; headers?: Record<string, string> };

/** Makes the server answer a route, and keeps what it was asked. */
export function route(verb: Verb, path: string, answer: Answer | ((request: Request) => Answer | Promise<Answer>)): Request[] {
  const asked: Request[] = [];
  network.use(
    http[verb](`http://localhost${path}`, async ({ request }) => {
      const text = await request.text();
      const seen: Request = { body: text === "" ? {} : (JSON.parse(text) as Record<string, unknown>), query: new URL(request.url).searchParams };
      asked.push(seen);
      const { status = 200, json, text: plain, headers = {} } = typeof answer === "function" ? await answer(seen) : answer;
      if (status === 204) return new HttpResponse(null, { status });
      if (plain !== undefined) return new HttpResponse(plain, { status, headers: { "content-type": "text/plain", ...headers } });
      return HttpResponse.json(json ?? null, { status, headers: { "content-type": status >= 400 ? "application/problem+json" : "application/json", ...headers } });
    }),
  );
  return asked;
}

export function page(items: JsonBodyType[]): Answer {
  return { json: { items, next: null } };
}

export function problem(status: number, code: string, detail: string, more: Record<string, unknown> = {}): Answer {
  return { status, json: { type: "about:blank", title: code, status, detail, code, hint: null, field: null, request_id: "req_1", ...more } };
}
