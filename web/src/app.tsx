// Puts the client together: one query cache and one router.
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { createCache } from "./api/cache";
import { onSignedOut } from "./api/client";
import { sessionKeys } from "./api/session";
import { createAppRouter } from "./router";
import { closeStream } from "./stream/lazy";

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}

export function createApp() {
  const cache = createCache();
  const router = createAppRouter(cache);
  onSignedOut(() => {
    // Somebody who wasn't signed in is on the way to the sign-in page already.
    if (cache.getQueryData(sessionKeys.me) === undefined) return;
    void closeStream();
    cache.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== sessionKeys.health[0] });
    // The routes decide where somebody who isn't signed in goes.
    void router.invalidate();
  });
  const stop = () => {
    onSignedOut(() => {});
    return closeStream();
  };
  return { cache, router, stop };
}

export function App({ cache, router }: Pick<ReturnType<typeof createApp>, "cache" | "router">) {
  return (
    <QueryClientProvider client={cache}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  );
}
