# Who may do what, as data: statements.json is the function's own part, which the local OCI
# enforces too; services, devops, people and encryption are the other principals'. A
# statement is deployed when all of its ${placeholders} have a value.

locals {
  prefix = "cemli-${var.environment}"

  # Everything of a type in the environment's compartment: an id would not be known before
  # the resource is there, and a new one would wait for the group to learn it. Runners are
  # functions of another compartment, and in no group.
  dynamic_groups = {
    for name, type in {
      function   = "fnfunc"
      deploy     = var.deploys ? "devopsdeploypipeline" : null
      build      = var.builds ? "devopsbuildpipeline" : null
      repository = var.mirrors ? "devopsrepository" : null
      connection = var.connects ? "devopsconnection" : null
    } : name => "ALL {resource.type='${type}', resource.compartment.id='${var.compartment_id}'}" if type != null
  }

  values = merge(
    { for name in ["function", "deploy", "build", "repository", "connection"] : "${name}_group" => contains(keys(local.dynamic_groups), name) ? "${local.prefix}-${name}" : null },
    { for name in ["authors", "promotion", "approvers", "operators", "policies", "auditors"] : "${name}_group" => try(var.groups[name], null) },
    { compartment_id = var.compartment_id, region = var.region, images_compartment_id = var.images_compartment_id, image_repository = var.image_repository },
    var.values,
  )

  documents = merge(
    { function = "statements.json", services = "services.json" },
    var.deploys || var.builds ? { devops = "devops.json" } : {},
    length([for group in values(var.groups) : group if group != null]) > 0 ? { people = "people.json" } : {},
  )

  # Each statement cut into its placeholders and what is between them.
  pieces = { for document, file in local.documents : document => [
    for entry in jsondecode(file("${path.module}/${file}")) : regexall("\\$\\{\\w+\\}|[^$]+|\\$", entry.statement)
  ] }

  # Apart from the rest, because the buckets wait for it and the rest waits for the buckets.
  encryption = var.encrypts ? jsondecode(templatefile("${path.module}/encryption.json", {
    region              = var.region
    keys_compartment_id = var.keys_compartment_id
    storage_key_id      = var.storage_key_id
  }))[*].statement : []

  # Apart, too: a function is not made from an image that Functions may not read.
  images = var.image_repository == null ? [] : jsondecode(templatefile("${path.module}/images.json", {
    images_compartment_id = var.images_compartment_id
    image_repository      = var.image_repository
  }))[*].statement

  policies_apart = alltrue([for name in ["authors", "approvers"] : var.groups.policies == null || var.groups.policies != var.groups[name]])

  runners_apart = try(var.values.runner_compartment_id, null) == null || try(var.values.runner_compartment_id, "") != var.compartment_id

  # What is about a runner is there once for each of them.
  each = { for document, list in local.pieces : document => flatten([
    for pieces in list : [
      for id in contains(pieces, "$${runner_function_id}") ? var.runner_function_ids : [""] :
      { pieces = pieces, values = merge(local.values, { runner_function_id = id }) }
    ]
  ]) }

  statements = { for document, list in local.each : document => [
    for entry in list : join("", [for piece in entry.pieces : startswith(piece, "$${") ? entry.values[trim(piece, "$${}")] : piece])
    if alltrue([for piece in entry.pieces : startswith(piece, "$${") ? entry.values[trim(piece, "$${}")] != null : true])
  ] }
}

resource "oci_identity_dynamic_group" "this" {
  for_each = var.create ? local.dynamic_groups : {}

  compartment_id = var.tenancy_id
  name           = "${local.prefix}-${each.key}"
  description    = "cemli-executor, ${var.environment}: ${each.key}"
  matching_rule  = each.value
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags
}

resource "oci_identity_policy" "this" {
  for_each = var.create ? local.documents : {}

  # In the tenancy, because the image's compartment may be another environment's.
  compartment_id = var.tenancy_id
  name           = "${local.prefix}-${each.key}"
  description    = "cemli-executor, ${var.environment}: ${each.key}"
  statements     = local.statements[each.key]
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags

  # A policy that names a group which does not exist is refused.
  depends_on = [oci_identity_dynamic_group.this]

  lifecycle {
    precondition {
      condition     = try(var.groups.approvers, null) == null || try(var.groups.approvers, "") != try(var.groups.promotion, "")
      error_message = "Approvers and the promotion pipeline are the same group: whoever starts a deployment would approve it."
    }
    precondition {
      condition     = local.policies_apart
      error_message = "Those who write policies are authors or approvers, too: a group of its own writes policies."
    }
    precondition {
      condition     = local.runners_apart
      error_message = "Runners are in the executor's compartment, where they would have all that it may do: they need one of their own."
    }
  }
}

resource "oci_identity_policy" "images" {
  count = var.create && var.image_repository != null ? 1 : 0

  compartment_id = var.tenancy_id
  name           = "${local.prefix}-images"
  description    = "cemli-executor, ${var.environment}: images"
  statements     = local.images
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags
}

resource "oci_identity_policy" "encryption" {
  count = var.create && var.encrypts ? 1 : 0

  compartment_id = var.tenancy_id
  name           = "${local.prefix}-encryption"
  description    = "cemli-executor, ${var.environment}: encryption"
  statements     = local.encryption
  freeform_tags  = var.tags
  defined_tags   = var.defined_tags
}
