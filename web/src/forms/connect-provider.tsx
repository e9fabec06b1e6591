// Connect a provider: find it, give its key, see what the provider said about it.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { ArrowLeft, Ban, Check, HardDrive, Plus } from "lucide-react";
import { useState } from "react";
import { asApiError } from "../api/client";
import { connectionsQuery, localProvidersQuery, providersQuery } from "../api/queries";
import { meQuery } from "../api/session";
import type { Connection, EndpointOffer, Provider } from "../api/types";
import { putConnection } from "../components/connection-actions";
import { ProviderMark } from "../components/provider-mark";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFooter } from "../ui/dialog";
import { FilterList, type FilterGroup } from "../ui/filter-list";
import { Notice } from "../ui/notice";
import { Skeleton } from "../ui/skeleton";
import { ConnectionResult } from "./connection-result";
import { CustomProviderForm } from "./custom-provider";
import { looksLikeKey, providersOfKey, unquoted } from "./key-shape";
import { ProviderKeyForm } from "./provider-key-form";
import { SignInAtProvider } from "./sign-in-at-provider";

type Stage =
  | { name: "list" }
  | { name: "custom"; offer: EndpointOffer | null }
  | { name: "form"; provider: Provider }
  | { name: "result"; provider: { id: string; name: string }; connection: Connection };

/** `renewing` is a connection whose sign-in is to be done again. */
export default function ConnectProvider({ providerId, renewing, onClose }: { providerId?: string; renewing?: Connection; onClose: () => void }) {
  const cache = useQueryClient();
  const { data: providers, error, refetch } = useQuery(providersQuery);
  const { data: connections } = useQuery(connectionsQuery);
  const { data: me } = useQuery(meQuery);
  const { data: local } = useQuery({ ...localProvidersQuery, enabled: me?.role === "admin" });
  const [stage, setStage] = useState<Stage>({ name: "list" });
  const [query, setQuery] = useState("");
  // A key that was pasted into the search: it waits here for its provider, and is never shown.
  const [pasted, setPasted] = useState("");

  const asked = stage.name === "list" && query === "" ? providers?.find((provider) => provider.id === providerId) : undefined;
  const [skipped, setSkipped] = useState(false);
  const current: Stage = asked && !skipped ? { name: "form", provider: asked } : stage;
  const takeKey = (text: string): boolean => {
    if (!looksLikeKey(text)) return false;
    setQuery("");
    setPasted(unquoted(text));
    const [only, ...others] = candidates(providers ?? [], text);
    if (only && others.length === 0 && only.connectable) setStage({ name: "form", provider: only });
    return true;
  };
  const toList = () => {
    setPasted("");
    setSkipped(true);
    setStage({ name: "list" });
  };

  if (current.name === "result") {
    const { connection, provider } = current;
    return (
      <Dialog open onClose={onClose} title={connection.provider_name} before={<ProviderMark id={provider.id} name={provider.name} />} width="sm">
        <ConnectionResult connection={connection} onConnection={(changed) => setStage({ name: "result", provider, connection: changed })} onClose={onClose} />
      </Dialog>
    );
  }
  if (current.name === "custom") {
    return (
      <Dialog open onClose={onClose} title="Custom endpoint" width="sm" before={<BackToList onBack={toList} />}>
        <CustomProviderForm
          offer={current.offer}
          onBack={toList}
          onConnected={(connection) => {
            putConnection(cache, connection);
            void cache.invalidateQueries({ queryKey: localProvidersQuery.queryKey });
            setStage({ name: "result", provider: { id: connection.provider_id, name: connection.provider_name }, connection });
          }}
        />
      </Dialog>
    );
  }
  if (current.name === "form") {
    const { provider } = current;
    return (
      <Dialog
        open
        onClose={onClose}
        title={provider.name}
        width="sm"
        before={
          <>
            <BackToList onBack={toList} />
            <ProviderMark id={provider.id} name={provider.name} />
          </>
        }
      >
        {provider.connectable ? (
          <ProviderMethods
            provider={provider}
            taken={(connections ?? []).filter((connection) => connection.provider_id === provider.id).map((connection) => connection.label)}
            renewing={renewing}
            pasted={pasted}
            onBack={renewing ? onClose : toList}
            onConnected={(connection) => {
              setPasted("");
              putConnection(cache, connection);
              setStage({ name: "result", provider, connection });
            }}
          />
        ) : (
          <Refusal provider={provider} onBack={toList} />
        )}
      </Dialog>
    );
  }

  return (
    <Dialog open onClose={onClose} title="Connect a provider" width="md">
      {providers === undefined ? (
        <DialogBody>
          {error ? (
            <Notice tone="red" title={asApiError(error).message} actions={<Button size="sm" onClick={() => void refetch()}>Try again</Button>} />
          ) : (
            <div className="grid gap-2" aria-busy aria-label="Reading the catalogue">
              {[0, 1, 2, 3, 4, 5].map((key) => (
                <Skeleton key={key} className="h-8" />
              ))}
            </div>
          )}
        </DialogBody>
      ) : (
        <FilterList
          className="h-[min(32rem,70dvh)]"
          label="Providers"
          placeholder={`Search ${providers.length} providers, or paste a key`}
          query={query}
          onQuery={(text) => {
            if (!takeKey(text)) setQuery(text);
          }}
          onPaste={takeKey}
          groups={pasted && query === "" ? proposed(providers, pasted) : groupsOf(providers, query)}
          itemKey={(provider) => provider.id}
          onPick={(provider) => setStage({ name: "form", provider })}
          renderItem={(provider) => <ProviderRow provider={provider} />}
          empty={`No provider matches “${query}”. Any server that speaks OpenAI’s protocol can be connected as a custom endpoint.`}
          footer={
            <div className="flex flex-wrap items-center gap-2 border-t border-line px-3 py-2.5">
              <Button size="sm" onClick={() => setStage({ name: "custom", offer: null })}>
                <Plus className="size-3.5" aria-hidden />
                Custom endpoint
              </Button>
              {local?.map((offer) => (
                <Button key={offer.base_url} size="sm" onClick={() => setStage({ name: "custom", offer })}>
                  <HardDrive className="size-3.5" aria-hidden />
                  {offer.name}
                  <span className="font-normal text-muted">on this server, {offer.models.length === 1 ? "1 model" : `${offer.models.length} models`}</span>
                </Button>
              ))}
            </div>
          }
        />
      )}
    </Dialog>
  );
}

function BackToList({ onBack }: { onBack: () => void }) {
  return (
    <button type="button" aria-label="Back to the list" onClick={onBack} className="-my-1 -ml-1.5 rounded-md p-1.5 text-faint hover:bg-hover hover:text-text">
      <ArrowLeft className="size-4" aria-hidden />
    </button>
  );
}

/** The providers that a pasted key may be for. */
function candidates(providers: Provider[], key: string): Provider[] {
  return providersOfKey(key).flatMap((id) => providers.find((provider) => provider.id === id) ?? []);
}

function proposed(providers: Provider[], key: string): FilterGroup<Provider>[] {
  const found = candidates(providers, key);
  const others = [...providers].sort((a, b) => a.name.localeCompare(b.name)).filter((provider) => !found.includes(provider));
  return found.length === 0
    ? [{ label: "Your key is kept. Which provider is it for?", items: others }]
    : [
        { label: "Your key looks like one of these", items: found },
        { label: "Another one, A–Z", items: others },
      ];
}

/** Popular ones first, then all of them by name; a match at the start of a name before one in the middle. */
export function groupsOf(providers: Provider[], query: string): FilterGroup<Provider>[] {
  const wanted = query.trim().toLowerCase();
  const byName = [...providers].sort((a, b) => a.name.localeCompare(b.name));
  if (wanted === "") {
    return [
      { label: "Popular", items: providers.filter((provider) => provider.popular) },
      { label: "All, A–Z", items: byName.filter((provider) => !provider.popular) },
    ];
  }
  const rank = ({ id, name }: Provider) => {
    const text = name.toLowerCase();
    if (text.startsWith(wanted) || id.startsWith(wanted)) return 0;
    if (text.split(/[^\p{L}\p{N}]+/u).some((word) => word.startsWith(wanted))) return 1;
    return text.includes(wanted) || id.includes(wanted) ? 2 : 3;
  };
  const found = byName.filter((provider) => rank(provider) < 3);
  return [{ label: null, items: found.sort((a, b) => rank(a) - rank(b) || Number(b.popular) - Number(a.popular)) }];
}

function ProviderRow({ provider }: { provider: Provider }) {
  const methods = provider.methods.map((method) => method.label).join(" · ");
  return (
    <>
      <ProviderMark id={provider.id} name={provider.name} className={provider.connectable ? "" : "opacity-50"} />
      <span className={provider.connectable ? "truncate" : "truncate text-faint"}>{provider.name}</span>
      <span className="hidden min-w-0 flex-1 truncate font-mono text-xs text-faint sm:block">{provider.id}</span>
      <span className="ml-auto flex shrink-0 items-center gap-2 text-xs text-faint">
        {!provider.connectable ? (
          <>
            <Ban className="size-3.5" aria-hidden /> can’t be connected
          </>
        ) : provider.connected ? (
          <span className="flex items-center gap-1 text-green">
            <Check className="size-3.5" aria-hidden /> connected
          </span>
        ) : (
          <span className="max-w-40 truncate">{methods || "API key"}</span>
        )}
      </span>
    </>
  );
}

type MethodsProps = { provider: Provider; taken: string[]; pasted: string; renewing: Connection | undefined; onBack: () => void; onConnected: (connection: Connection) => void };

/** Several ways to connect are shown side by side; one is taken at once. */
function ProviderMethods({ provider, taken, pasted, renewing, onBack, onConnected }: MethodsProps) {
  const methods = renewing ? provider.methods.filter((method) => method.kind === "oauth") : provider.methods;
  const [index, setIndex] = useState(() => {
    const byKey = pasted ? methods.find((method) => method.kind === "api" && method.refusal === null) : undefined;
    return (byKey ?? methods.find((method) => method.refusal === null) ?? methods[0])?.index ?? 0;
  });
  const [signingIn, setSigningIn] = useState(false);
  const method = methods.find((each) => each.index === index);
  return (
    <>
      {methods.length > 1 && !signingIn && (
        <fieldset className="grid gap-1.5 border-b border-line px-5 py-4">
          <legend className="sr-only">How to connect</legend>
          {methods.map((each) => (
            <label key={each.index} className="flex cursor-pointer items-center gap-2.5 rounded-md border border-line px-3 py-2 has-checked:border-accent has-checked:bg-accent-soft">
              <input type="radio" name="method" className="accent-accent" checked={each.index === index} onChange={() => setIndex(each.index)} />
              <span className="min-w-0 flex-1 truncate">{each.label}</span>
              <span className="text-xs text-faint">{each.refusal ? "not here" : each.kind === "oauth" ? "sign in" : "key"}</span>
            </label>
          ))}
        </fieldset>
      )}
      {method?.kind === "oauth" ? (
        <SignInAtProvider key={method.index} provider={provider} method={method} renewing={renewing} onSigningIn={setSigningIn} onBack={onBack} onConnected={onConnected} />
      ) : (
        <ProviderKeyForm provider={provider} taken={taken} pasted={pasted} onBack={onBack} onConnected={onConnected} />
      )}
    </>
  );
}

function Refusal({ provider, onBack }: { provider: Provider; onBack: () => void }) {
  return (
    <>
      <DialogBody>
        <Notice tone="amber" title={`${provider.name} can’t be connected`}>
          {provider.refusal ?? "This version of doce doesn’t support how it signs in."}
        </Notice>
      </DialogBody>
      <DialogFooter>
        <Button onClick={onBack}>Pick another</Button>
      </DialogFooter>
    </>
  );
}
