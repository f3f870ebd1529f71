// A client with the stock fetch wrapper: node client.mjs WALLET NETWORK CURRENCY URL...
// Prints a line of JSON for each address: status, body, and what was settled.
import { wrapFetchWithPayment, x402Client, decodePaymentResponseHeader } from "@x402/fetch";
import { FarthingClient } from "./farthing.mjs";

const [wallet, network, currency, ...urls] = process.argv.slice(2);
const farthing = new FarthingClient(wallet, currency);
const pay = wrapFetchWithPayment(fetch, new x402Client().register(network, farthing));
for (const url of urls) {
  const answer = await pay(url);
  const header = answer.headers.get("PAYMENT-RESPONSE");
  const settled = header ? decodePaymentResponseHeader(header) : null;
  const used = settled?.extra?.ack ? (await farthing.onResponse(settled)).used : null;
  console.log(JSON.stringify({ status: answer.status, body: await answer.json(), settled, used }));
}
