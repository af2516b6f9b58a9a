/** Pictures that the person dropped, pasted or chose; they stay in this tab. */

/** Longer edge that the server needs at most; more would only take time to send. */
const MAX_EDGE = 1024;

/** Data URL by name, `upload:N`. */
export const uploads = new Map<string, string>();

/** Keeps the picture as a JPEG of at most `MAX_EDGE` pixels; returns its name. */
export async function addUpload(file: Blob): Promise<string> {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, MAX_EDGE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  if (!context) throw new Error("This browser cannot draw pictures.");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const name = `upload:${uploads.size + 1}`;
  uploads.set(name, canvas.toDataURL("image/jpeg", 0.9));
  return name;
}

type Receiver = (picture: File) => void;
const receivers: Receiver[] = [];

/** Calls back for a picture that is dropped on the page or pasted; the latest receiver gets it. */
export function onPicture(receiver: Receiver): () => void {
  receivers.push(receiver);
  return () => {
    receivers.splice(receivers.indexOf(receiver), 1);
  };
}

export function listenForPictures(): void {
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    give(event.dataTransfer?.files);
  });
  addEventListener("paste", (event) => give(event.clipboardData?.files));
}

function give(files: FileList | undefined): void {
  const picture = [...(files ?? [])].find((file) => file.type.startsWith("image/"));
  if (picture) receivers.at(-1)?.(picture);
}
