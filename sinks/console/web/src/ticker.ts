// Runs as a worker: its timers go on while the tab is in the background, where
// those of the page stand still for up to a minute.

setInterval(() => postMessage(null), 100);
