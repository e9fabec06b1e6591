// Another name, address or other models for an endpoint of one's own.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../api/client";
import { customProvidersQuery, keys } from "../api/queries";
import type { CustomModel, CustomProvider } from "../api/types";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFooter } from "../ui/dialog";
import { Field, Input } from "../ui/input";
import { Notice } from "../ui/notice";
import { Skeleton } from "../ui/skeleton";
import { toast } from "../ui/toast";
import { CustomModels } from "./custom-models";

export default function EditCustomProvider({ providerId, onClose }: { providerId: string; onClose: () => void }) {
  const { data, error, refetch } = useQuery(customProvidersQuery);
  const custom = data?.find((each) => each.id === providerId);
  return (
    <Dialog open onClose={onClose} title={custom?.name ?? "Endpoint"} width="sm">
      {custom ? (
        <Form custom={custom} onClose={onClose} />
      ) : (
        <DialogBody>
          {error ? (
            <Notice tone="red" title={asApiError(error).message} actions={<Button size="sm" onClick={() => void refetch()}>Try again</Button>} />
          ) : data ? (
            <Notice tone="amber" title="This endpoint isn’t connected any more." />
          ) : (
            <Skeleton className="h-40" />
          )}
        </DialogBody>
      )}
    </Dialog>
  );
}

function Form({ custom, onClose }: { custom: CustomProvider; onClose: () => void }) {
  const cache = useQueryClient();
  const [name, setName] = useState(custom.name);
  const [baseUrl, setBaseUrl] = useState(custom.base_url);
  const [models, setModels] = useState<CustomModel[]>(custom.models);
  const save = useMutation({
    mutationFn: () => take(api.PATCH("/api/custom-providers/{id}", { params: { path: { id: custom.id } }, body: { name: name.trim(), base_url: baseUrl.trim(), models } })),
    onSuccess: (changed) => {
      cache.setQueryData(keys.customProviders, (list: CustomProvider[] | undefined) => list?.map((each) => (each.id === changed.id ? changed : each)));
      void cache.invalidateQueries({ queryKey: keys.providers });
      void cache.invalidateQueries({ queryKey: keys.models(custom.id) });
      toast(`${changed.name}: agents get the change when they are idle.`, "good");
      onClose();
    },
  });
  const problem = save.error === null ? null : asApiError(save.error);
  const wrong = (field: string) => (problem?.field?.startsWith(field) ? problem.message : undefined);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <form onSubmit={submit} className="flex min-h-0 flex-col">
      <DialogBody>
        <Field label="Name" error={wrong("name")}>
          {(control) => <Input {...control} autoFocus required maxLength={60} autoComplete="off" value={name} onChange={(event) => setName(event.target.value)} />}
        </Field>
        <Field label="Base URL" error={wrong("base_url")} hint="What /chat/completions is appended to.">
          {(control) => <Input {...control} type="url" inputMode="url" required className="font-mono" autoComplete="off" spellCheck={false} value={baseUrl} onChange={(event) => setBaseUrl(event.target.value)} />}
        </Field>
        <CustomModels models={models} offered={[]} error={wrong("models")} onModels={setModels} />
        {problem && !["name", "base_url", "models"].some((field) => wrong(field)) && (
          <p role="alert" className="text-sm text-red">
            {problem.message} {problem.hint}
          </p>
        )}
      </DialogBody>
      <DialogFooter>
        <Button onClick={onClose}>Cancel</Button>
        <Button type="submit" variant="primary" busy={save.isPending} disabled={models.length === 0}>
          Save
        </Button>
      </DialogFooter>
    </form>
  );
}
