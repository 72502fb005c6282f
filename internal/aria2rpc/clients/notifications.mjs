// Waits for the notifications of a server.

// notifications returns until, which resolves when a notification such as "Start GID" has
// come. listen(event, take) calls take with the gid of each notification of an event.
export function notifications(listen) {
  const heard = new Set();
  const waiting = [];
  for (const name of ["Start", "Pause", "Stop", "Complete", "Error"]) {
    listen(`onDownload${name}`, (gid) => {
      heard.add(`${name} ${gid}`);
      waiting.splice(0).forEach((check) => check());
    });
  }
  return async (notification) => {
    while (!heard.has(notification)) {
      await new Promise((resolve) => waiting.push(resolve));
    }
  };
}
