-- Drives Neovim for test_neovim.py. Loaded before the configuration; `LACUNA_TEST.run(name)` then plays one of the scenarios below with the
-- file that is open, writes what happened to $LACUNA_TEST_REPORT as JSON, and quits.

local PATIENCE = 60000 -- milliseconds; only a hang takes so long

local report = { notes = {}, listed = {}, exits = {} }
local scenarios = {}
local overrides = {} -- of the client's configuration

vim.notify = function(message)
  table.insert(report.notes, message)
end

local start_client = vim.lsp.start_client
vim.lsp.start_client = function(config)
  local on_exit = config.on_exit
  config.on_exit = function(code, signal, client)
    table.insert(report.exits, { code = code, signal = signal })
    on_exit(code, signal, client)
  end
  -- What is drawn must not hang on luck.
  config.init_options = vim.tbl_extend("force", config.init_options, { seed = 1 }, overrides.init_options or {})
  if overrides.capabilities then
    config.capabilities = overrides.capabilities(vim.lsp.protocol.make_client_capabilities())
  end
  return start_client(config)
end

local function wait(what, condition)
  if not vim.wait(PATIENCE, condition, 10) then
    error("gave up waiting for " .. what)
  end
end

local function text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, true), "\n")
end

local function client()
  local _, found = next(vim.lsp.buf_get_clients(0))
  return found
end

local function until_attached()
  wait("the client", function()
    return client() ~= nil and client().initialized
  end)
end

local function cursor_at(pattern)
  vim.fn.cursor(1, 1)
  assert(vim.fn.search(pattern, "cW") > 0, "no " .. pattern)
end

-- Lists the code actions at the cursor and takes the first whose title begins so, as a person does in the menu.
local function take(title)
  local taken
  vim.ui.select = function(items, options, on_choice)
    local titles, choice = {}, nil
    for index, item in ipairs(items) do
      table.insert(titles, (options.format_item(item))) -- it gives the number of replacements, too
      if not choice and vim.startswith(titles[index], title) then
        choice = index
      end
    end
    table.insert(report.listed, titles)
    taken = choice ~= nil
    on_choice(choice and items[choice], choice)
  end
  vim.lsp.buf.code_action()
  wait("the list of code actions", function()
    return taken ~= nil
  end)
  assert(taken, title .. " is not among the actions")
end

local function take_and_wait(title)
  local before, notes = text(), #report.notes
  take(title)
  wait("the fill", function()
    return text() ~= before or #report.notes > notes
  end)
end

function scenarios.fill()
  report.before = text()
  cursor_at("___")
  take_and_wait("Fill this hole")
  report.one_filled = text()
  vim.cmd("undo")
  report.undone = text()
  take_and_wait("Fill all")
  report.all_filled = text()
  vim.cmd("write")
  vim.cmd("undo")
  report.undone_at_once = text()
end

function scenarios.hover()
  cursor_at("print")
  vim.lsp.buf.hover()
  local window
  wait("the hover", function()
    for _, each in ipairs(vim.api.nvim_list_wins()) do
      if vim.api.nvim_win_get_config(each).relative ~= "" then
        window = each
      end
    end
    return window ~= nil
  end)
  report.hover = table.concat(vim.api.nvim_buf_get_lines(vim.api.nvim_win_get_buf(window), 0, -1, true), "\n")
end

-- The text changes while a fill is computed, which must not touch it any more.
function scenarios.edit_during_fill()
  cursor_at("___")
  take("Fill all")
  vim.api.nvim_buf_set_lines(0, 0, 0, true, { "# typed meanwhile" })
  report.typed = text()
  wait("a word about the fill", function()
    return #report.notes > 0
  end)
  vim.wait(500)
  report.after = text()
end

-- The user picks among alternatives: a command, the server's question, and its edit.
function scenarios.choose()
  vim.fn.inputlist = function(options)
    report.question = options
    return 1
  end
  cursor_at("___")
  take_and_wait("Fill this hole: choose among alternatives")
  report.chosen = text()
end

-- A client that can't resolve edits gets commands in their place.
function scenarios.command()
  cursor_at("___")
  take_and_wait("Fill this hole")
  report.filled = text()
end

LACUNA_TEST = {}

function LACUNA_TEST.prepare(name)
  if name == "edit_during_fill" then
    overrides.init_options = { alternatives = 64, maxTokens = 64, temperature = 1 }
  elseif name == "command" then
    overrides.capabilities = function(capabilities)
      capabilities.textDocument.codeAction.resolveSupport = nil
      capabilities.textDocument.codeAction.dataSupport = nil
      return capabilities
    end
  end
end

function LACUNA_TEST.run(name)
  local done, problem = pcall(function()
    until_attached()
    scenarios[name]()
    report.clients = #vim.lsp.get_active_clients()
    vim.lsp.stop_client(vim.lsp.get_active_clients())
    wait("the server to end", function()
      return #report.exits > 0
    end)
  end)
  if not done then
    report.problem = problem
  end
  vim.fn.writefile({ vim.fn.json_encode(report) }, vim.env.LACUNA_TEST_REPORT)
  vim.cmd("qall!")
end
