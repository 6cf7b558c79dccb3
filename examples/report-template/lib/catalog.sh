# The report server's catalogue: a folder here, so that the example runs anywhere. Put the calls of
# your report server in their place.
catalog_get() { cat "catalog/$1"; }
catalog_put() { cat >"catalog/$1"; }
