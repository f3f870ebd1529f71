// Stock clients, the price known, each on a connection of its own: node pay.mjs URL exact|voucher CLIENTS SECONDS
// Payments of the exact scheme are signed before the clock starts; vouchers follow on the last answer, so they cannot be.
import { x402Client, x402HTTPClient } from "@x402/fetch";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/client";
import { privateKeyToAccount, generatePrivateKey } from "viem/accounts";
const [url, scheme, clients, seconds] = process.argv.slice(2);
const SIGNED_AHEAD = 1_000;

const buyer = async () => {
  const account = privateKeyToAccount(generatePrivateKey());
  const made = scheme === "exact" ? new ExactEvmScheme(account) : new BatchSettlementEvmScheme(account, { depositPolicy: { depositMultiplier: 100_000 } });
  const client = new x402Client().register("eip155:84532", made).registerPolicy((_, all) => all);
  const http = new x402HTTPClient(client);
  const refused = await fetch(url);
  const price = http.getPaymentRequiredResponse((name) => refused.headers.get(name), undefined);
  await refused.text();
  const draw = async () => {
    const payload = await client.createPaymentPayload(price);
    return [payload, http.encodePaymentSignatureHeader(payload)];
  };
  const ahead = [];
  if (scheme === "exact") for (let i = 0; i < SIGNED_AHEAD; i++) ahead.push(await draw());
  return async () => {
    const [payload, headers] = ahead.pop() ?? (await draw());
    const answer = await fetch(url, { headers });
    await http.processPaymentResult(payload, (name) => answer.headers.get(name), answer.status);
    if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`);
    await answer.text();
    return JSON.stringify(headers).length;
  };
};
const buyers = [];
for (let i = 0; i < Number(clients); i++) buyers.push(await buyer());
let bytes = 0;
for (const buy of buyers) bytes = await buy(); // Opens channels.
for (const buy of buyers) bytes = await buy();
const begun = performance.now(), end = begun + 1_000 * Number(seconds);
let paid = 0;
await Promise.all(buyers.map(async (buy) => { while (performance.now() < end) { await buy(); paid += 1; } }));
console.log(JSON.stringify({ scheme, clients: Number(clients), paid, rate: Math.round(paid / ((performance.now() - begun) / 1_000)), headerBytes: bytes }));
