import { useEffect, useState } from "preact/hooks";

import type { AddedFiles, Collection } from "../connection/results";
import { useApp } from "../shared/context";
import { Dialog, Notes } from "../shared/parts";
import { formatRoute } from "../shared/route";

/** The limit of the server for one file. */
const MAX_BYTES = 3_000_000;
/** Bytes of files in one request, of which base64 makes a third more; the server takes 8 MiB. */
const MAX_BATCH_BYTES = 5_500_000;

interface Failure {
  name: string;
  reason: string;
}

export function ManageView(props: { collections: Collection[]; onChanged(): void }) {
  const { text } = useApp();
  return (
    <>
      <AddFiles collections={props.collections} onChanged={props.onChanged} />
      <h2>{text("manage.collections")}</h2>
      <ul class="collections">
        {props.collections.map((collection) => (
          <CollectionCard
            key={collection.name}
            collection={collection}
            onChanged={props.onChanged}
          />
        ))}
      </ul>
    </>
  );
}

function AddFiles(props: { collections: Collection[]; onChanged(): void }) {
  const { connection, text, notify, fail } = useApp();
  const [collection, setCollection] = useState("pictures");
  const [progress, setProgress] = useState<{ done: number; all: number }>();
  const [failures, setFailures] = useState<Failure[]>([]);
  const [over, setOver] = useState(false);

  const add = async (files: File[]) => {
    if (files.length === 0 || progress) return;
    const failed: Failure[] = [];
    const sums = { added: 0, unchanged: 0, failed: 0 };
    setProgress({ done: 0, all: files.length });
    try {
      for (const batch of batches(files, failed, text("manage.tooLarge", { n: MAX_BYTES / 1e6 }))) {
        const uploads = await Promise.all(
          batch.map(async (file) => ({ name: file.name, data: await dataUrl(file) })),
        );
        const result = await connection.call<AddedFiles>("add_images", { collection, uploads });
        sums.added += result.added + result.updated;
        sums.unchanged += result.unchanged + result.duplicates;
        failed.push(...result.failures);
        setProgress((old) => old && { ...old, done: old.done + batch.length });
      }
      sums.failed = failed.length;
      notify(text("manage.added", sums));
    } catch (error) {
      fail(error);
    } finally {
      setProgress(undefined);
      setFailures(failed);
      props.onChanged();
    }
  };

  return (
    <section class="card add">
      <h2>{text("manage.add")}</h2>
      <label>
        {text("manage.into")}{" "}
        <input
          value={collection}
          list="collection-names"
          required
          onInput={(event) => setCollection(event.currentTarget.value)}
        />
      </label>
      <datalist id="collection-names">
        {props.collections.map(({ name }) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      <label
        class={over ? "drop over" : "drop"}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          event.stopPropagation();
          setOver(false);
          void add([...(event.dataTransfer?.files ?? [])]);
        }}
      >
        {text("manage.drop")}
        <input
          type="file"
          multiple
          class="hidden"
          onChange={(event) => {
            void add([...(event.currentTarget.files ?? [])]);
            event.currentTarget.value = "";
          }}
        />
      </label>
      {progress && (
        <div role="status">
          <progress value={progress.done} max={progress.all} aria-label={text("manage.add")} />
          {text("manage.adding", progress)}
        </div>
      )}
      {failures.length > 0 && (
        <ul class="failures">
          {failures.map((each) => (
            <li key={each.name}>
              <strong>{each.name}</strong>: {each.reason}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** Groups of files that fit into one request; files that do not fit at all go to `failed`. */
function* batches(files: File[], failed: Failure[], reason: string): Generator<File[]> {
  let batch: File[] = [];
  let bytes = 0;
  for (const file of files) {
    if (file.size > MAX_BYTES) {
      failed.push({ name: file.name, reason });
      continue;
    }
    if (bytes + file.size > MAX_BATCH_BYTES || batch.length === 20) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(file);
    bytes += file.size;
  }
  if (batch.length) yield batch;
}

function dataUrl(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^data:[^,]*,/, ""));
    reader.onerror = () => reject(reader.error ?? new Error(file.name));
    reader.readAsDataURL(file);
  });
}

interface Deletion {
  confirm?: string;
  deleted: boolean;
  assets: number;
  notes?: string[];
}

function CollectionCard(props: { collection: Collection; onChanged(): void }) {
  const { connection, text, notify, fail } = useApp();
  const { collection } = props;
  const [asked, setAsked] = useState<Deletion>();
  const remove = (confirm?: string) =>
    connection.call<Deletion>("delete_assets", {
      collection: collection.name,
      ...(confirm ? { confirm } : {}),
    });
  useEffect(() => setAsked(undefined), [collection.assets]);
  return (
    <li class="card">
      <h3>{collection.name}</h3>
      <dl>
        <div>
          <dt>{text("manage.images")}</dt>
          <dd>{collection.assets.toLocaleString()}</dd>
        </div>
        <div>
          <dt>{text("manage.passages")}</dt>
          <dd>{collection.passages.toLocaleString()}</dd>
        </div>
        {collection.failed_sources ? (
          <div>
            <dt>{text("manage.failed")}</dt>
            <dd>{collection.failed_sources.toLocaleString()}</dd>
          </div>
        ) : null}
        {collection.encoder && (
          <div>
            <dt>{text("manage.encoder")}</dt>
            <dd>{collection.encoder}</dd>
          </div>
        )}
      </dl>
      <p class="actions">
        <a
          class="button"
          href={formatRoute("search", { collection: collection.name, list: "1" })}
        >
          {text("manage.open")}
        </a>
        <button
          type="button"
          class="quiet"
          onClick={() => void remove().then(setAsked, fail)}
        >
          {text("manage.delete")}
        </button>
      </p>
      {asked?.confirm && (
        <Dialog title={text("manage.delete")} onClose={() => setAsked(undefined)}>
          <p>{text("manage.sure", { name: collection.name, n: asked.assets })}</p>
          <Notes notes={asked.notes} />
          <p class="row">
            <button
              type="button"
              class="danger"
              onClick={() => {
                remove(asked.confirm).then(() => {
                  notify(text("manage.deleted", { name: collection.name }));
                  props.onChanged();
                }, fail);
              }}
            >
              {text("manage.delete")}
            </button>
            <button type="button" onClick={() => setAsked(undefined)}>
              {text("manage.cancel")}
            </button>
          </p>
        </Dialog>
      )}
    </li>
  );
}
