// Swaps at a Cashu mint, one proof in and one out, made ready before the clock starts:
// node cashu.mjs MINT CONNECTIONS SECONDS
import { CashuMint, CashuWallet, OutputData } from "@cashu/cashu-ts";

const [url, connections, seconds] = process.argv.slice(2);
const PROOFS = 4_000;
const AT_ONCE = 200;

const wallet = new CashuWallet(new CashuMint(url), { unit: "sat" });
await wallet.loadMint();
const proofs = [];
while (proofs.length < PROOFS) {
  const quote = await wallet.createMintQuote(AT_ONCE);
  while ((await wallet.checkMintQuote(quote.quote)).state !== "PAID") await new Promise((done) => setTimeout(done, 50));
  proofs.push(...(await wallet.mintProofs(AT_ONCE, quote.quote, { outputAmounts: { sendAmounts: [], keepAmounts: Array(AT_ONCE).fill(1) } })));
}
const swaps = proofs.map((proof) => {
  const { blindedMessage } = OutputData.createSingleRandomData(1, wallet.keysetId);
  return JSON.stringify({ inputs: [proof], outputs: [blindedMessage] });
});
const headers = { "content-type": "application/json" };
const begun = performance.now(), end = begun + 1_000 * Number(seconds);
let done = 0;
const work = async () => {
  while (performance.now() < end && swaps.length) {
    const answer = await fetch(`${url}/v1/swap`, { method: "POST", headers, body: swaps.pop() });
    const said = await answer.text();
    if (answer.status !== 200) throw new Error(`${answer.status} ${said}`);
    done += 1;
  }
};
await Promise.all(Array.from({ length: Number(connections) }, work));
console.log(JSON.stringify({ scheme: "cashu swap", clients: Number(connections), paid: done, rate: Math.round(done / ((performance.now() - begun) / 1_000)) }));
process.exit(0);
