// A shop with the stock express middleware: node server.mjs FACILITATOR NETWORK CURRENCY PAY_TO PASS
import express from "express";
import { paymentMiddleware } from "@x402/express";
import { HTTPFacilitatorClient, x402ResourceServer } from "@x402/core/server";
import { FarthingServer, SCHEME } from "./farthing.mjs";

const [facilitator, network, currency, payTo, pass] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${pass}` };
const createAuthHeaders = async () => ({ supported: headers, verify: headers, settle: headers });
const bank = new HTTPFacilitatorClient({ url: facilitator, createAuthHeaders });
const x402 = new x402ResourceServer(bank).register(network, new FarthingServer(currency, bank));

const priced = (price, item) => ({
  accepts: { scheme: SCHEME, network, price, payTo, maxTimeoutSeconds: 60, extra: { item } },
  description: item,
});
const routes = {
  "GET /weather": priced("$0.0003", "weather"),
  "GET /report": priced("$0.001", "report"),
  "GET /broken": priced("$0.0005", "broken"),
};

let served = 0;
const app = express();
app.use(paymentMiddleware(routes, x402));
app.get("/weather", (_, answer) => answer.json({ weather: "fair", served: ++served }));
app.get("/report", (_, answer) => answer.json({ report: "none", served: ++served }));
app.get("/broken", (_, answer) => answer.status(500).json({ served }));
app.get("/served", (_, answer) => answer.json({ served }));
const listening = app.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${listening.address().port}`));
