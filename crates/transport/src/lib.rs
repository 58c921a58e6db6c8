//! The guarded HTTP client: implements the engine's [`hookpost_engine::Transport`].
