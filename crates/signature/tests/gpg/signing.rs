use crate::home::Home;
