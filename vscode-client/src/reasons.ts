// What a person is told of a request that failed.
import { LSPErrorCodes, ResponseError } from "vscode-languageserver-protocol";

/** The sentence to show for an error; undefined where nothing is to be said: it was cancelled, or the server has said it itself. */
export function reasonOf(error: unknown): string | undefined {
  if (error instanceof ResponseError) {
    const silent: number[] = [LSPErrorCodes.RequestCancelled, LSPErrorCodes.ServerCancelled, LSPErrorCodes.ContentModified];
    return silent.includes(error.code) ? undefined : sentence(error.message);
  }
  if (error instanceof Error) {
    return error.name === "Canceled" || error.name === "CancellationError" ? undefined : sentence(error.message);
  }
  return sentence(String(error));
}

function sentence(message: string): string {
  const named = message.startsWith("Lacuna") ? message : `Lacuna: ${message}`;
  return /[.!?…]$/.test(named) ? named : `${named}.`;
}
