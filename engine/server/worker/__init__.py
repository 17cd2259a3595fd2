"""The process that draws: one engine, jobs from the store, frames to disk and events to the store."""
