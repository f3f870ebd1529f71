// Stock Express seller: node seller.mjs FACILITATOR PORT
import express from "express";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/server";
const [facilitator, port] = process.argv.slice(2);
const payTo = "0x1111111111111111111111111111111111111111";
const network = "eip155:84532";
const route = (scheme) => ({ accepts: { scheme, price: "$0.0001", network, payTo }, description: "hello" });
const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitator }))
  .register(network, new ExactEvmScheme())
  .register(network, new BatchSettlementEvmScheme(payTo));
const app = express();
app.get("/free", (_, res) => res.send("hello"));
app.use(paymentMiddleware({ "GET /exact": route("exact"), "GET /voucher": route("batch-settlement") }, server));
app.get(["/exact", "/voucher"], (_, res) => res.send("hello"));
const listening = app.listen(Number(port ?? 0), "127.0.0.1", () => console.log(listening.address().port));
