import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type SubmitEvent } from "react";
import { api, asApiError, take } from "../api/client";
import type { Connection } from "../api/types";
import { putConnection } from "../components/connection-actions";
import { WARN_DAYS } from "../components/key-age";
import { Button } from "../ui/button";
import { Dialog, DialogBody, DialogFooter } from "../ui/dialog";
import { Field, Input, NativeSelect } from "../ui/input";

const AGES = [30, 60, 90, 180];

/** How long a key is good: until a date that its provider gave, or for as many days as its owner wants. */
export default function ConnectionAge({ connection, onClose }: { connection: Connection; onClose: () => void }) {
  const cache = useQueryClient();
  const [date, setDate] = useState(connection.expires_at?.slice(0, 10) ?? "");
  const [age, setAge] = useState(connection.max_age_days === null ? "" : String(connection.max_age_days));
  const save = useMutation({
    mutationFn: () =>
      take(
        api.PATCH("/api/connections/{id}", {
          params: { path: { id: connection.id } },
          body: { expires_at: date === "" ? null : `${date}T00:00:00Z`, max_age_days: age === "" ? null : Number(age) },
        }),
      ),
    onSuccess: (changed) => {
      putConnection(cache, changed);
      onClose();
    },
  });
  const problem = save.error === null ? null : asApiError(save.error);
  const wrong = (field: string) => (problem?.field === field ? problem.message : undefined);
  const ages = age === "" || AGES.includes(Number(age)) ? AGES : [...AGES, Number(age)].sort((a, b) => a - b);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <Dialog open onClose={onClose} title={`${connection.provider_name}: how long the key is good`} width="sm">
      <form onSubmit={submit}>
        <DialogBody>
          <p className="text-muted">
            doce reminds you {WARN_DAYS} days before. Nothing is switched off: the key is used until you replace it.
          </p>
          <Field label="Runs out on" optional error={wrong("expires_at")} hint="If you gave it a date when you made it at the provider.">
            {(control) => <Input {...control} autoFocus type="date" value={date} onChange={(event) => setDate(event.target.value)} />}
          </Field>
          <Field label="Remind me to replace it" error={wrong("max_age_days")} hint="Counted from the day the key came here, and anew after each replacement.">
            {(control) => (
              <NativeSelect {...control} value={age} onChange={(event) => setAge(event.target.value)}>
                <option value="">never</option>
                {ages.map((days) => (
                  <option key={days} value={days}>
                    after {days} days
                  </option>
                ))}
              </NativeSelect>
            )}
          </Field>
          {problem && problem.field === null && (
            <p role="alert" className="text-sm text-red">
              {problem.message} {problem.hint}
            </p>
          )}
        </DialogBody>
        <DialogFooter>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" variant="primary" busy={save.isPending}>
            Save
          </Button>
        </DialogFooter>
      </form>
    </Dialog>
  );
}
