// Reverse proxy with compression, based on Express: `node express.mjs PORT UPSTREAM IDLE-MS`.

import http from 'node:http';

import compression from 'compression';
import express from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';

const [port, upstream, idle] = process.argv.slice(2).map(Number);
const agent = new http.Agent({ keepAlive: true, timeout: idle });
const app = express();
app.use(compression({ threshold: 0 }));
app.use(createProxyMiddleware({ target: `http://127.0.0.1:${upstream}`, agent }));
app.listen(port, '127.0.0.1');
