# The interface's user store: a file with a salted digest here, so that the example runs anywhere.
interface_set_password() { # reads the password
  local salt=$RANDOM$RANDOM
  echo "$salt $({ echo -n "$salt"; cat; } | sha256sum | cut -d' ' -f1)" >"$HOME/interface-user"
}
interface_login() { # reads the password
  local salt digest
  read -r salt digest <"$HOME/interface-user"
  [[ $({ echo -n "$salt"; cat; } | sha256sum | cut -d' ' -f1) == "$digest" ]]
}
