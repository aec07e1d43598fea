//! Progress events and the interrupt flag; renders nothing.
