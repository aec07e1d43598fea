//! The few file-system verbs everything durable is built from, and named crash points.
