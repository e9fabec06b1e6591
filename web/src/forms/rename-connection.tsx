import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, take } from "../api/client";
import type { Connection } from "../api/types";
import { putConnection } from "../components/connection-actions";
import { RenameDialog } from "./rename-dialog";

export default function RenameConnection({ connection, onClose }: { connection: Connection; onClose: () => void }) {
  const cache = useQueryClient();
  const rename = useMutation({
    mutationFn: (label: string) => take(api.PATCH("/api/connections/{id}", { params: { path: { id: connection.id } }, body: { label } })),
    onSuccess: (changed) => {
      putConnection(cache, changed);
      onClose();
    },
  });
  return <RenameDialog title={`${connection.provider_name}: label`} label="Label" hint="Tells several keys of one provider apart." value={connection.label} mutation={rename} onClose={onClose} />;
}
