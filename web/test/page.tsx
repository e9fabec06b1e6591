import { QueryClientProvider, type QueryClient } from "@tanstack/react-query";
import { createMemoryHistory, createRootRoute, createRoute, createRouter, RouterProvider } from "@tanstack/react-router";
import { render } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import type { ReactNode } from "react";
import { createCache } from "../src/api/cache";
import { closeDialog, Dialogs } from "../src/components/dialogs";
import { Toasts } from "../src/ui/toast";
import { TooltipProvider } from "../src/ui/tooltip";

/** Shows something as a page of its own, with the dialogs and toasts that every page has. */
export function show(content: ReactNode, cache: QueryClient = createCache()) {
  closeDialog();
  cache.setDefaultOptions({ ...cache.getDefaultOptions(), queries: { ...cache.getDefaultOptions().queries, retry: false } });
  const root = createRootRoute();
  const paths = ["/", "/projects/$id", "/settings/providers", "/settings/models", "/settings/account", "/settings/audit", "/settings/keys", "/settings/import", "/sign-in"] as const;
  const routes = paths.map((path) => createRoute({ getParentRoute: () => root, path, component: () => (path === "/" ? content : <p>{`at ${path}`}</p>) }));
  const router = createRouter({ routeTree: root.addChildren(routes), history: createMemoryHistory({ initialEntries: ["/"] }) });
  const view = render(
    <QueryClientProvider client={cache}>
      <TooltipProvider>
        <RouterProvider router={router as never} />
        <Dialogs />
        <Toasts />
      </TooltipProvider>
    </QueryClientProvider>,
  );
  return { ...view, cache, router, user: userEvent.setup() };
}
