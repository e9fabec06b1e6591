// An authorization server as small as GitLab's is towards OpenCode: nobody signs in at it, and every code but a wrong one is good.
import { createServer, type Server } from "node:http";

/** Refused, as a code is that was used before. */
export const USED_CODE = "used-code";

export class AuthorizationServer {
  readonly #server: Server;
  readonly url: string;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(): Promise<AuthorizationServer> {
    let made = 0;
    const server = createServer(async (request, response) => {
      let body = "";
      for await (const piece of request) body += String(piece);
      const code = new URLSearchParams(body).get("code");
      const good = request.method === "POST" && request.url === "/oauth/token" && code !== null && code !== USED_CODE;
      made += good ? 1 : 0;
      const pair = { access_token: `access-${made}-0123456789abcdef`, refresh_token: `refresh-${made}-0123456789abcdef`, expires_in: 7200, token_type: "Bearer" };
      response.writeHead(good ? 200 : 400, { "content-type": "application/json" }).end(JSON.stringify(good ? pair : { error: "invalid_grant" }));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port was given");
    return new AuthorizationServer(server, address.port);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** The address that the browser could not open, as it stands in its address bar after the sign-in. */
export function landing(pageUrl: string, address: string, code: string): string {
  const state = new URL(pageUrl).searchParams.get("state");
  if (state === null) throw new Error(`${pageUrl} carries no state`);
  return `${address}?${new URLSearchParams({ code, state })}`;
}
