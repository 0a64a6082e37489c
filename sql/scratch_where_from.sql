-- Reads as whom, and from which host, the server sees this connection. Cost, locks: none.
SELECT USER()
