import { QueryClient } from "@tanstack/react-query";
import { asApiError } from "./client";

const READ_RETRIES = 2;

/** Builds the query cache: the stream keeps it fresh, so neither focus nor timers read again. */
export function createCache(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        refetchOnWindowFocus: false,
        refetchOnReconnect: false,
        networkMode: "always",
        retry: (failures, error) => {
          const { status } = asApiError(error);
          return failures < READ_RETRIES && (status === 0 || status >= 500);
        },
        retryDelay: (attempt) => 400 * 2 ** attempt,
      },
      mutations: { networkMode: "always", retry: false },
    },
  });
}
