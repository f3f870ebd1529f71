//! What every HTTP role needs, on the server's side and on the client's.
