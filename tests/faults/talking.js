// What the pages of test_page_survives.py do: two practitioners who talk without end in one space, and write down all that
// their client said. The log outlives a reload in the tab's storage, as the session does.
async ({ token, space: id, pace }) => {
  const { Client } = await import("/static/sangha.js");
  const log = JSON.parse(sessionStorage.getItem("log")) ?? { events: [], states: [], acknowledged: [], failed: [], last: 0, snapshots: 0 };
  window.log = log;
  window.addEventListener("pagehide", () => sessionStorage.setItem("log", JSON.stringify(log)));
  const client = (window.client = new Client({ token, remember: true, backoff: { baseS: 0.05, capS: 0.25 } }));
  client.addEventListener("state", ({ detail }) => log.states.push([detail.state, detail.resumed]));
  await client.open();
  const space = await client.join(id, { after: client.rememberedOffset(id) ?? 0 });
  space.addEventListener("snapshot", () => (log.snapshots += 1));
  space.addEventListener("event", ({ detail }) => log.events.push([detail.offset, detail.event, detail.from?.id, detail.body]));
  space.addEventListener("left", ({ detail }) => log.failed.push(detail.reason));
  const talk = async () => {
    while (!window.quiet) {
      log.last += 1;
      const n = log.last;
      try {
        log.acknowledged.push([n, await space.send({ n })]);
      } catch (error) {
        log.failed.push(String(error));
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, pace));
    }
    window.silent = true;
  };
  talk();
  return client.practitioner.id;
}
